package geoloop.spring;

import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.simp.config.ChannelRegistration;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.scheduling.concurrent.ThreadPoolTaskExecutor;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.config.annotation.WebSocketTransportRegistration;

/** STOMP over WebSocket, with Spring's broker in memory. */
@Configuration
@EnableWebSocketMessageBroker
public class StompConfig implements WebSocketMessageBrokerConfigurer {

    private static final int CONNECT_MILLIS_MAX = 10_000;
    private static final long[] HEART_BEAT_MILLIS = {10_000, 10_000};

    private final StompFrameInterceptor frames;
    private final ThreadPoolTaskScheduler scheduler;

    public StompConfig(StompFrameInterceptor frames, ThreadPoolTaskScheduler scheduler) {
        this.frames = frames;
        this.scheduler = scheduler;
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
        registry.addEndpoint("/location");
        // Otherwise a SEND may overtake the SUBSCRIBE before it.
        registry.setPreserveReceiveOrder(true);
    }

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
        registry.setApplicationDestinationPrefixes("/pub");
        registry.enableSimpleBroker("/sub").setHeartbeatValue(HEART_BEAT_MILLIS).setTaskScheduler(scheduler);
        // Otherwise updates overtake each other on their way to one client.
        registry.setPreservePublishOrder(true);
    }

    @Override
    public void configureClientInboundChannel(ChannelRegistration registration) {
        // As many threads as Spring takes by itself.
        int threads = 2 * Runtime.getRuntime().availableProcessors();
        registration.interceptors(frames).executor(executor("clientInboundChannel-", threads));
    }

    @Override
    public void configureClientOutboundChannel(ChannelRegistration registration) {
        // CONNECTED and RECEIPT are no part of the order that the broker preserves: on two threads an update may overtake
        // the CONNECTED of a client that subscribed without waiting for it.
        registration.executor(executor("clientOutboundChannel-", 1));
    }

    /** Named outright, because Spring Boot would have both channels share whatever one executor it finds. */
    private static ThreadPoolTaskExecutor executor(String prefix, int threads) {
        var executor = new ThreadPoolTaskExecutor();
        executor.setThreadNamePrefix(prefix);
        executor.setCorePoolSize(threads);
        return executor;
    }

    @Override
    public void configureWebSocketTransport(WebSocketTransportRegistration registration) {
        registration.setTimeToFirstMessage(CONNECT_MILLIS_MAX);
    }
}
