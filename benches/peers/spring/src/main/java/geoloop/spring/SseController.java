package geoloop.spring;

import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.http.CacheControl;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.mvc.method.annotation.SseEmitter;

/** Event streams. */
@RestController
public class SseController {

    private static final String EVENT_NAME = "location";
    private static final long NO_TIMEOUT = 0;

    private final Hub hub;
    private final UpdateJson json;
    private final ThreadPoolTaskScheduler scheduler;
    private final Set<SseEmitter> emitters = ConcurrentHashMap.newKeySet();

    public SseController(Hub hub, UpdateJson json, ThreadPoolTaskScheduler scheduler) {
        this.hub = hub;
        this.json = json;
        this.scheduler = scheduler;
    }

    @GetMapping("/location/sse/{group}")
    public ResponseEntity<SseEmitter> stream(
            @PathVariable GroupId group,
            @RequestHeader(name = "Last-Event-ID", required = false) String lastEventId,
            @RequestParam(name = "last_event_id", required = false) String lastEventIdInQuery) throws IOException {
        var emitter = new SseEmitter(NO_TIMEOUT);
        // A comment at once, so that the head of the answer is written.
        emitter.send(SseEmitter.event().comment("").reconnectTime(ThreadLocalRandom.current().nextLong(1000, 3000)));
        var subscription = new Subscription(
                update -> emitter.send(event(update)), () -> scheduler.execute(emitter::complete));
        Runnable leave = () -> {
            emitters.remove(emitter);
            hub.unsubscribe(group, subscription);
        };
        emitter.onCompletion(leave);
        emitter.onError(error -> leave.run());
        emitters.add(emitter);
        hub.subscribe(group, Cursors.read(lastEventId != null ? lastEventId : lastEventIdInQuery), subscription);
        return ResponseEntity.ok()
                .cacheControl(CacheControl.noStore())
                .header("X-Accel-Buffering", "no")
                .body(emitter);
    }

    /** The one-shot: a simulated location to group 0, answered as one event. */
    @GetMapping("/location/sse/connect")
    public ResponseEntity<String> connect() {
        Update update = hub.publish(GroupId.ZERO, Publish.simulated());
        return ResponseEntity.ok()
                .cacheControl(CacheControl.noStore())
                .contentType(MediaType.TEXT_EVENT_STREAM)
                .body("id: " + update.seq() + "\nevent: " + EVENT_NAME + "\ndata: " + update.json() + "\n\n");
    }

    @Scheduled(fixedRate = 15, timeUnit = TimeUnit.SECONDS)
    void keepAlive() {
        for (SseEmitter emitter : emitters) {
            try {
                emitter.send(SseEmitter.event().comment(""));
            } catch (IOException | IllegalStateException gone) {
                // Its onError or onCompletion has it leave.
                emitters.remove(emitter);
            }
        }
    }

    /** Streams have no end of their own, and the container waits for them. */
    @EventListener(ContextClosedEvent.class)
    void handleShutdown() {
        emitters.forEach(SseEmitter::complete);
    }

    /** A reader has gone or took nothing for too long: nothing is left to be answered, and nothing to be logged. */
    @ExceptionHandler(IOException.class)
    void handleGone(HttpServletResponse unusable) {
    }

    private static SseEmitter.SseEventBuilder event(Update update) {
        return SseEmitter.event().id(Long.toString(update.seq())).name(EVENT_NAME).data(update.json());
    }
}
