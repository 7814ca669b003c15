package geoloop.spring;

import org.springframework.messaging.Message;
import org.springframework.messaging.MessageChannel;
import org.springframework.messaging.MessageHandler;
import org.springframework.messaging.simp.annotation.support.SimpAnnotationMethodMessageHandler;
import org.springframework.messaging.simp.broker.SimpleBrokerMessageHandler;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompHeaderAccessor;
import org.springframework.messaging.support.ExecutorChannelInterceptor;
import org.springframework.messaging.support.MessageHeaderAccessor;
import org.springframework.stereotype.Component;

/**
 * What the broker in memory leaves to its users: receipts for SUBSCRIBE, UNSUBSCRIBE and SEND, destinations that are no
 * group's, and a SEND straight to subscribers, which it would deliver as it is.
 */
@Component
public class StompFrameInterceptor implements ExecutorChannelInterceptor {

    private final StompAnswers answers;

    public StompFrameInterceptor(StompAnswers answers) {
        this.answers = answers;
    }

    @Override
    public Message<?> preSend(Message<?> message, MessageChannel channel) {
        var headers = MessageHeaderAccessor.getAccessor(message, StompHeaderAccessor.class);
        if (headers == null || headers.getCommand() == null) {
            return message;
        }
        boolean subscribes = headers.getCommand() == StompCommand.SUBSCRIBE;
        if (!subscribes && headers.getCommand() != StompCommand.SEND) {
            return message;
        }
        String destination = headers.getDestination();
        boolean isLocation = destination != null && destination.startsWith(StompDestinations.LOCATION);
        boolean isShare = destination != null && destination.startsWith(StompDestinations.SHARE);
        if (!isLocation && (subscribes || !isShare)) {
            return refuse(headers, "the destination is unknown");
        }
        String prefix = isLocation ? StompDestinations.LOCATION : StompDestinations.SHARE;
        String group = destination.substring(prefix.length());
        try {
            GroupId.valueOf(group);
        } catch (IllegalArgumentException error) {
            return refuse(headers, error.getMessage());
        }
        if (isLocation && !subscribes) {
            headers.setDestination(StompDestinations.SHARE + group);
        }
        return message;
    }

    private Message<?> refuse(StompHeaderAccessor headers, String rule) {
        answers.error(headers.getSessionId(), rule);
        return null;
    }

    @Override
    public void afterMessageHandled(
            Message<?> message, MessageChannel channel, MessageHandler handler, Exception error) {
        var headers = MessageHeaderAccessor.getAccessor(message, StompHeaderAccessor.class);
        if (error != null || headers == null || headers.getReceipt() == null || headers.getCommand() == null) {
            return;
        }
        // A frame goes past every handler; done it is by one. The broker answers DISCONNECT by itself.
        boolean isDone = switch (headers.getCommand()) {
            case SUBSCRIBE, UNSUBSCRIBE -> handler instanceof SimpleBrokerMessageHandler;
            case SEND -> handler instanceof SimpAnnotationMethodMessageHandler;
            default -> false;
        };
        if (isDone) {
            answers.receipt(headers.getSessionId(), headers.getReceipt());
        }
    }
}
