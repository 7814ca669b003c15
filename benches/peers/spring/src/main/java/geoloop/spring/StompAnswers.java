package geoloop.spring;

import org.springframework.beans.factory.annotation.Qualifier;
import org.springframework.context.annotation.Lazy;
import org.springframework.messaging.MessageChannel;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompHeaderAccessor;
import org.springframework.messaging.support.MessageBuilder;
import org.springframework.stereotype.Component;

/** Frames to one client that the broker in memory does not send. */
@Component
public class StompAnswers {

    private static final byte[] NO_BODY = {};

    private final MessageChannel outbound;

    public StompAnswers(@Lazy @Qualifier("clientOutboundChannel") MessageChannel outbound) {
        this.outbound = outbound;
    }

    public void receipt(String sessionId, String receipt) {
        var headers = StompHeaderAccessor.create(StompCommand.RECEIPT);
        headers.setReceiptId(receipt);
        send(sessionId, headers);
    }

    /** Spring closes the connection behind it. */
    public void error(String sessionId, String rule) {
        var headers = StompHeaderAccessor.create(StompCommand.ERROR);
        headers.setMessage(rule);
        send(sessionId, headers);
    }

    private void send(String sessionId, StompHeaderAccessor headers) {
        headers.setSessionId(sessionId);
        outbound.send(MessageBuilder.createMessage(NO_BODY, headers.getMessageHeaders()));
    }
}
