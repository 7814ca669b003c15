package geoloop.spring;

import java.io.IOException;
import java.io.InputStream;
import java.util.function.Consumer;
import org.springframework.http.CacheControl;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.context.request.async.DeferredResult;
import org.springframework.web.server.ResponseStatusException;

/** Short polls, long polls, and publishes over HTTP. */
@RestController
public class PollController {

    private static final String CURSOR = "Location-Seq";
    private static final int BODY_BYTES_MAX = 16 * 1024;
    private static final long TIMEOUT_MILLIS_MAX = 60_000;

    private final Hub hub;
    private final UpdateJson json;

    public PollController(Hub hub, UpdateJson json) {
        this.hub = hub;
        this.json = json;
    }

    /** Spring answers 304 by itself where the ETag is the one that the request names. */
    @GetMapping({"/location/cur/{group}", "/cur/{group}"})
    public ResponseEntity<byte[]> current(@PathVariable GroupId group) {
        return hub.newest(group)
                .map(update -> ResponseEntity.ok()
                        .eTag(Long.toString(update.seq()))
                        .cacheControl(CacheControl.noCache())
                        .contentType(MediaType.APPLICATION_JSON)
                        .body(update.bytes()))
                .orElseGet(() -> ResponseEntity.ok()
                        .cacheControl(CacheControl.noStore())
                        .contentType(MediaType.APPLICATION_JSON)
                        .body(json.write(0, Publish.simulated(), System.currentTimeMillis()).bytes()));
    }

    @GetMapping("/location/long/{group}")
    public DeferredResult<ResponseEntity<byte[]>> poll(
            @PathVariable GroupId group,
            @RequestParam(required = false) Long since,
            @RequestParam(defaultValue = "10000") long timeout) {
        Cursors.check(since);
        if (timeout < 0 || timeout > TIMEOUT_MILLIS_MAX) {
            throw new ResponseStatusException(HttpStatus.BAD_REQUEST, "timeout is 0 to 60000 ms");
        }
        var answer = new DeferredResult<ResponseEntity<byte[]>>(timeout);
        Consumer<Update> waiter = update -> answer.setResult(found(update));
        Group.Polled polled = hub.poll(group, since, waiter);
        if (polled instanceof Group.Polled.Owed owed) {
            answer.setResult(found(owed.update()));
        } else if (polled instanceof Group.Polled.Waits waits) {
            // The cursor of the moment it began to wait: a newer one might skip an update that is on its way to it.
            Runnable tellNothing = () -> answer.setResult(nothing(waits.cursor()));
            answer.onTimeout(tellNothing);
            answer.onCompletion(() -> hub.leave(group, waiter));
            if (timeout == 0) {
                // No timeout means for ever to a container.
                tellNothing.run();
            }
        }
        return answer;
    }

    @PostMapping({"/location/long/{group}/notify", "/location/share/{group}", "/location/cur/{group}", "/cur/{group}"})
    public ResponseEntity<byte[]> share(@PathVariable GroupId group, InputStream body) throws IOException {
        return publish(group, body);
    }

    @PostMapping("/location/sse/share")
    public ResponseEntity<byte[]> shareToZero(@RequestParam(defaultValue = "0") GroupId group, InputStream body)
            throws IOException {
        return publish(group, body);
    }

    private ResponseEntity<byte[]> publish(GroupId group, InputStream body) throws IOException {
        byte[] read = body.readNBytes(BODY_BYTES_MAX + 1);
        if (read.length > BODY_BYTES_MAX) {
            throw new ResponseStatusException(HttpStatus.PAYLOAD_TOO_LARGE, "a body is 16 KiB at most");
        }
        Update update = hub.publish(group, json.read(read));
        return ResponseEntity.ok().contentType(MediaType.APPLICATION_JSON).body(update.bytes());
    }

    private static ResponseEntity<byte[]> found(Update update) {
        return ResponseEntity.ok()
                .header(CURSOR, Long.toString(update.seq()))
                .cacheControl(CacheControl.noStore())
                .contentType(MediaType.APPLICATION_JSON)
                .body(update.bytes());
    }

    private static ResponseEntity<byte[]> nothing(long cursor) {
        return ResponseEntity.noContent()
                .header(CURSOR, Long.toString(cursor))
                .cacheControl(CacheControl.noStore())
                .build();
    }
}
