package geoloop.spring;

import java.util.Map;
import org.springframework.context.annotation.Lazy;
import org.springframework.http.MediaType;
import org.springframework.messaging.MessageHeaders;
import org.springframework.messaging.simp.SimpMessageHeaderAccessor;
import org.springframework.messaging.simp.SimpMessageType;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.support.MessageBuilder;
import org.springframework.stereotype.Component;

/** Hands updates to the broker, which knows who subscribed. */
@Component
public class StompBroadcast {

    private final SimpMessagingTemplate template;

    public StompBroadcast(@Lazy SimpMessagingTemplate template) {
        this.template = template;
    }

    public void send(GroupId group, Update update) {
        var headers = SimpMessageHeaderAccessor.create(SimpMessageType.MESSAGE);
        headers.setContentType(MediaType.APPLICATION_JSON);
        // The broker would count messages; with the seq in it a client can say where it wants to go on.
        headers.setNativeHeader("message-id", "0-" + update.seq());
        headers.setLeaveMutable(true);
        MessageHeaders sealed = headers.getMessageHeaders();
        template.send(StompDestinations.LOCATION + group.number(), MessageBuilder.createMessage(update.bytes(), sealed));
    }
}
