package geoloop.spring;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.stereotype.Component;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.PingMessage;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.handler.ConcurrentWebSocketSessionDecorator;
import org.springframework.web.socket.handler.TextWebSocketHandler;

/** Plain WebSockets: every text is a publish to the socket's group, every update of the group a text. */
@Component
public class GroupSocketHandler extends TextWebSocketHandler {

    private static final int SEND_MILLIS_MAX = 10_000;
    private static final int SEND_BUFFER_BYTES_MAX = 64 * 1024;

    private final Hub hub;
    private final UpdateJson json;
    private final ObjectMapper mapper;
    private final ThreadPoolTaskScheduler scheduler;
    private final Map<String, Connection> connections = new ConcurrentHashMap<>();

    /** An open socket, safe to be written to by several threads. */
    private record Connection(GroupId group, WebSocketSession session, Subscription subscription) {
    }

    /** Why a publish was not taken. */
    private record Refusal(String error, String detail) {
    }

    public GroupSocketHandler(Hub hub, UpdateJson json, ObjectMapper mapper, ThreadPoolTaskScheduler scheduler) {
        this.hub = hub;
        this.json = json;
        this.mapper = mapper;
        this.scheduler = scheduler;
    }

    @Override
    public void afterConnectionEstablished(WebSocketSession plain) {
        var session = new ConcurrentWebSocketSessionDecorator(plain, SEND_MILLIS_MAX, SEND_BUFFER_BYTES_MAX);
        var subscription = new Subscription(
                update -> session.sendMessage(new TextMessage(update.json())),
                () -> scheduler.execute(() -> close(session)));
        var group = (GroupId) plain.getAttributes().get(GroupHandshakeInterceptor.GROUP);
        connections.put(plain.getId(), new Connection(group, session, subscription));
        hub.subscribe(group, (Long) plain.getAttributes().get(GroupHandshakeInterceptor.SINCE), subscription);
    }

    @Override
    protected void handleTextMessage(WebSocketSession plain, TextMessage message) throws IOException {
        Connection connection = connections.get(plain.getId());
        if (connection == null) {
            return;
        }
        try {
            hub.publish(connection.group(), json.read(message.asBytes()));
        } catch (InvalidPublishException error) {
            var refusal = new Refusal("bad_publish", error.getReason());
            connection.session().sendMessage(new TextMessage(mapper.writeValueAsString(refusal)));
        }
    }

    @Override
    public void afterConnectionClosed(WebSocketSession plain, CloseStatus status) {
        Connection connection = connections.remove(plain.getId());
        if (connection != null) {
            hub.unsubscribe(connection.group(), connection.subscription());
        }
    }

    @Scheduled(fixedRate = 25, timeUnit = TimeUnit.SECONDS)
    void keepAlive() {
        for (Connection connection : connections.values()) {
            send(connection.session(), new PingMessage());
        }
    }

    private static void send(WebSocketSession session, WebSocketMessage<?> message) {
        try {
            session.sendMessage(message);
        } catch (IOException | RuntimeException gone) {
            close(session);
        }
    }

    private static void close(WebSocketSession session) {
        try {
            session.close(CloseStatus.SESSION_NOT_RELIABLE);
        } catch (IOException gone) {
            // It is closed then.
        }
    }
}
