package geoloop.spring;

import org.springframework.messaging.handler.annotation.DestinationVariable;
import org.springframework.messaging.handler.annotation.MessageExceptionHandler;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.Payload;
import org.springframework.messaging.simp.stomp.StompHeaderAccessor;
import org.springframework.stereotype.Controller;

/** Publishes over STOMP. */
@Controller
public class StompController {

    private final Hub hub;
    private final UpdateJson json;
    private final StompAnswers answers;

    public StompController(Hub hub, UpdateJson json, StompAnswers answers) {
        this.hub = hub;
        this.json = json;
        this.answers = answers;
    }

    @MessageMapping("/share/{group}")
    public void share(@DestinationVariable GroupId group, @Payload(required = false) byte[] body) {
        hub.publish(group, json.read(body == null ? new byte[0] : body));
    }

    @MessageExceptionHandler
    public void refuse(Exception error, StompHeaderAccessor headers) {
        answers.error(headers.getSessionId(), error instanceof InvalidPublishException invalid
                ? invalid.getReason() : "the frame cannot be handled");
    }
}
