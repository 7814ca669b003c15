package geoloop.spring;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.scheduling.annotation.EnableScheduling;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;

/** Location sharing in groups over five transports, as users of Spring Boot would write it. */
@SpringBootApplication
@EnableScheduling
public class Application {

    public static void main(String[] arguments) {
        var context = (ServletWebServerApplicationContext) SpringApplication.run(Application.class, arguments);
        String host = context.getEnvironment().getProperty("server.address");
        System.out.println("listening on http://" + host + ":" + context.getWebServer().getPort());
    }

    /** Heart-beats, and the closing of who does not read. */
    @Bean
    ThreadPoolTaskScheduler taskScheduler() {
        var scheduler = new ThreadPoolTaskScheduler();
        scheduler.setPoolSize(2);
        scheduler.setThreadNamePrefix("schedule-");
        return scheduler;
    }
}
