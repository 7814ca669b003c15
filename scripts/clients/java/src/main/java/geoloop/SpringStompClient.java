package geoloop;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.lang.reflect.Type;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.springframework.http.HttpHeaders;
import org.springframework.messaging.converter.MappingJackson2MessageConverter;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketExtension;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.WebSocketMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.handler.TextWebSocketHandler;
import org.springframework.web.socket.handler.WebSocketHandlerDecorator;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/** Spring's STOMP client: updates as objects, receipts, acks, heart-beats, two groups, and what others publish. */
public final class SpringStompClient {
    private static final long WAIT_SECONDS_MAX = 10;
    // The library looks twice an interval whether it is to beat, so its beats are up to 12 s apart; the server waits for 16.
    private static final long OUR_BEATS_MS = 8_000;
    // The library gives up a server that was silent for three of these.
    private static final long SERVER_BEATS_MS = 4_000;
    // They take 20 s, longer than either side bears silence.
    private static final int BEATS_MIN = 5;

    /** What is published. */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    public record Location(double x, double y, String member) {}

    /** What is received; a key that this record lacks fails the conversion, and so the check. */
    public record Update(long seq, String member, Double x, Double y, long at, Boolean left, Boolean gap) {}

    /** One thing that must hold. */
    private interface Check {
        void run(String server) throws Exception;
    }

    private static final ThreadPoolTaskScheduler SCHEDULER = new ThreadPoolTaskScheduler();
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static long nextGroup = ThreadLocalRandom.current().nextLong(1_000_000L, 1_000_000_000_000L);
    private static int failed;

    private SpringStompClient() {}

    /** Runs every check against the server (host:port) named by the first argument. */
    public static void main(String[] arguments) {
        SCHEDULER.initialize();
        String server = arguments[0];
        check(server, "a publish comes back as an object", SpringStompClient::publish);
        check(server, "receipts come for SUBSCRIBE, SEND and DISCONNECT", SpringStompClient::receipts);
        check(server, "messages can be acknowledged and refused one by one", SpringStompClient::acknowledge);
        check(server, "two groups on one connection stay apart", SpringStompClient::twoGroups);
        check(server, "heart-beats, asked for at half a second each way, are agreed on at a second",
                SpringStompClient::agreement);
        check(server, "heart-beats keep a silent connection that neither side would keep without them",
                SpringStompClient::heartBeats);
        check(server, "what HTTP and WebSocket publish is received, and what it sends is polled",
                SpringStompClient::otherTransports);
        check(server, "a send to nowhere gets an ERROR frame", SpringStompClient::error);
        System.exit(failed > 0 ? 1 : 0);
    }

    private static void check(String server, String claim, Check check) {
        try {
            check.run(server);
            System.out.println("ok    spring: " + claim);
        } catch (Exception | AssertionError failure) {
            failed += 1;
            System.out.println("FAIL  spring: " + claim + ": " + failure);
        }
    }

    private static long freshGroup() {
        return nextGroup++;
    }

    private static void require(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError("unexpected: " + seen);
        }
    }

    private static <T> T next(BlockingQueue<T> queue, String what) throws InterruptedException {
        T item = queue.poll(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
        if (item == null) {
            throw new AssertionError(what + " did not come within " + WAIT_SECONDS_MAX + " s");
        }
        return item;
    }

    /** A STOMP session and what went wrong in it. */
    private static final class Client extends StompSessionHandlerAdapter implements AutoCloseable {
        private final BlockingQueue<StompHeaders> errors = new LinkedBlockingQueue<>();
        private final BlockingQueue<Throwable> failures = new LinkedBlockingQueue<>();
        private final BlockingQueue<StompHeaders> connected = new LinkedBlockingQueue<>();
        private final Semaphore beats = new Semaphore(0);
        private final StompSession session;

        Client(String server, long... heartBeat) throws Exception {
            WebSocketStompClient client = new WebSocketStompClient(new BeatCounter(beats));
            client.setMessageConverter(new MappingJackson2MessageConverter());
            client.setTaskScheduler(SCHEDULER);
            if (heartBeat.length == 2) {
                client.setDefaultHeartbeat(heartBeat);
            }
            session = client.connectAsync("ws://" + server + "/location", this).get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
            session.setAutoReceipt(true);
        }

        /** Subscribes, waits for the receipt, and keeps the updates with their headers. */
        BlockingQueue<Received> subscribe(long group, String ack) throws Exception {
            BlockingQueue<Received> received = new LinkedBlockingQueue<>();
            StompHeaders headers = new StompHeaders();
            headers.setDestination("/sub/location/" + group);
            headers.setAck(ack);
            awaitReceipt(session.subscribe(headers, new StompFrameHandler() {
                @Override
                public Type getPayloadType(StompHeaders headers) {
                    return Update.class;
                }

                @Override
                public void handleFrame(StompHeaders headers, Object payload) {
                    received.add(new Received(headers, (Update) payload));
                }
            }));
            return received;
        }

        StompSession.Receiptable share(long group, Location location) {
            return session.send("/pub/share/" + group, location);
        }

        @Override
        public void afterConnected(StompSession session, StompHeaders headers) {
            connected.add(headers);
        }

        /** A converter for JSON can make nothing of the plain text of an ERROR, so that is where its headers come. */
        @Override
        public void handleException(StompSession session, StompCommand command, StompHeaders headers, byte[] payload,
                Throwable exception) {
            if (command == StompCommand.ERROR) {
                errors.add(headers);
            } else {
                failures.add(exception);
            }
        }

        @Override
        public void handleTransportError(StompSession session, Throwable exception) {
            failures.add(exception);
        }

        @Override
        public void close() {
            if (session.isConnected()) {
                session.disconnect();
            }
            require(failures.isEmpty(), failures);
        }
    }

    /** What the STOMP client speaks through: the one place where heart-beats are seen, each a message of a line end. */
    private static final class BeatCounter extends StandardWebSocketClient {
        private final Semaphore beats;

        BeatCounter(Semaphore beats) {
            this.beats = beats;
        }

        @Override
        protected CompletableFuture<WebSocketSession> executeInternal(WebSocketHandler handler, HttpHeaders headers,
                URI address, List<String> protocols, List<WebSocketExtension> extensions,
                Map<String, Object> attributes) {
            WebSocketHandler counting = new WebSocketHandlerDecorator(handler) {
                @Override
                public void handleMessage(WebSocketSession session, WebSocketMessage<?> message) throws Exception {
                    if ("\n".equals(message.getPayload())) {
                        beats.release();
                    }
                    super.handleMessage(session, message);
                }
            };
            return super.executeInternal(counting, headers, address, protocols, extensions, attributes);
        }
    }

    private record Received(StompHeaders headers, Update update) {}

    private static void awaitReceipt(StompSession.Receiptable asked) throws Exception {
        CompletableFuture<Boolean> receipt = new CompletableFuture<>();
        asked.addReceiptTask(() -> receipt.complete(true));
        asked.addReceiptLostTask(() -> receipt.complete(false));
        require(receipt.get(WAIT_SECONDS_MAX + 10, TimeUnit.SECONDS), "the receipt was lost");
    }

    private static void publish(String server) throws Exception {
        long group = freshGroup();
        try (Client alice = new Client(server); Client bob = new Client(server)) {
            BlockingQueue<Received> hers = alice.subscribe(group, "auto");
            BlockingQueue<Received> his = bob.subscribe(group, "auto");
            List<Update> updates = new ArrayList<>();
            for (int number = 0; number < 20; number++) {
                alice.share(group, new Location(number + 0.5, -7, "alice"));
            }
            for (int number = 0; number < 20; number++) {
                Received seen = next(hers, "an update");
                Update update = seen.update();
                require(update.x() == number + 0.5 && update.y() == -7 && update.member().equals("alice"), update);
                require(update.at() > 0 && update.left() == null && update.gap() == null, update);
                require(("/sub/location/" + group).equals(seen.headers().getDestination()), seen.headers());
                require(seen.headers().getMessageId().endsWith("-" + update.seq()), seen.headers());
                require(next(his, "bob's copy").update().equals(update), update);
                require(updates.isEmpty() || updates.get(updates.size() - 1).seq() < update.seq(), updates);
                updates.add(update);
            }
        }
    }

    private static void receipts(String server) throws Exception {
        long group = freshGroup();
        Client client = new Client(server);
        BlockingQueue<Received> received = client.subscribe(group, "auto");
        awaitReceipt(client.share(group, new Location(1, 2, null)));
        require(next(received, "the update").update().member() == null, "a member where none was named");
        StompHeaders bye = new StompHeaders();
        bye.setReceipt("bye");
        client.session.disconnect(bye);
        require(client.failures.isEmpty(), client.failures);
    }

    private static void acknowledge(String server) throws Exception {
        long group = freshGroup();
        try (Client client = new Client(server)) {
            BlockingQueue<Received> received = client.subscribe(group, "client-individual");
            client.share(group, new Location(1, 1, null));
            client.share(group, new Location(2, 2, null));
            StompHeaders first = next(received, "the first update").headers();
            StompHeaders second = next(received, "the second update").headers();
            require(first.getFirst(StompHeaders.ACK) != null || first.getMessageId() != null, first);
            awaitReceipt(client.session.acknowledge(acknowledgement(first), true));
            awaitReceipt(client.session.acknowledge(acknowledgement(second), false));
        }
    }

    /** The headers by which 1.1 (message-id, subscription) and 1.2 (id) name a message. */
    private static StompHeaders acknowledgement(StompHeaders message) {
        StompHeaders headers = new StompHeaders();
        headers.setId(message.getFirst(StompHeaders.ACK));
        headers.setMessageId(message.getMessageId());
        headers.setSubscription(message.getSubscription());
        return headers;
    }

    private static void twoGroups(String server) throws Exception {
        long one = freshGroup();
        long two = freshGroup();
        try (Client client = new Client(server)) {
            BlockingQueue<Received> first = client.subscribe(one, "auto");
            BlockingQueue<Received> second = client.subscribe(two, "auto");
            client.share(two, new Location(2, 2, null));
            require(next(second, "the second group's update").update().x() == 2, "another update");
            client.share(one, new Location(1, 1, null));
            require(next(first, "the first group's update").update().x() == 1, "another update");
            require(second.isEmpty(), second);
        }
    }

    private static void agreement(String server) throws Exception {
        try (Client client = new Client(server, 500, 500)) {
            long[] agreed = next(client.connected, "CONNECTED").getHeartbeat();
            require(Arrays.equals(agreed, new long[] {1000, 1000}), Arrays.toString(agreed));
        }
    }

    /** Counts the server's beats and looks at no clock, so a machine that is slow makes it take longer and not fail. */
    private static void heartBeats(String server) throws Exception {
        long group = freshGroup();
        try (Client client = new Client(server, OUR_BEATS_MS, SERVER_BEATS_MS)) {
            BlockingQueue<Received> received = client.subscribe(group, "auto");
            for (int heard = 0; heard < BEATS_MIN; heard++) {
                boolean isHeard = client.beats.tryAcquire(2 * WAIT_SECONDS_MAX, TimeUnit.SECONDS);
                require(client.failures.isEmpty(), client.failures);
                require(client.errors.isEmpty(), client.errors);
                require(isHeard, heard + " heart-beats, and then none");
            }
            require(client.session.isConnected(), "disconnected");
            client.share(group, new Location(1, 1, null));
            next(received, "the update");
        }
    }

    private static void otherTransports(String server) throws Exception {
        long group = freshGroup();
        try (Client client = new Client(server)) {
            BlockingQueue<Received> received = client.subscribe(group, "auto");
            HttpRequest share = HttpRequest.newBuilder(URI.create("http://" + server + "/location/share/" + group))
                    .POST(HttpRequest.BodyPublishers.ofString("{\"x\":3.5,\"y\":4}")).build();
            require(HTTP.send(share, HttpResponse.BodyHandlers.ofString()).statusCode() == 200, "the share's status");
            require(next(received, "HTTP's update").update().x() == 3.5, "another update");

            BlockingQueue<String> texts = new LinkedBlockingQueue<>();
            CountDownLatch closed = new CountDownLatch(1);
            WebSocketSession socket = new StandardWebSocketClient().execute(new TextWebSocketHandler() {
                @Override
                protected void handleTextMessage(WebSocketSession session, TextMessage message) {
                    texts.add(message.getPayload());
                }

                @Override
                public void afterConnectionClosed(WebSocketSession session,
                        org.springframework.web.socket.CloseStatus status) {
                    closed.countDown();
                }
            }, new WebSocketHttpHeaders(), URI.create("ws://" + server + "/ws/" + group))
                    .get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
            socket.sendMessage(new TextMessage("{\"x\":5.5,\"y\":6}"));
            Update update = next(received, "WebSocket's update").update();
            require(update.x() == 5.5, update);
            require(next(texts, "WebSocket's own copy").startsWith("{\"seq\":" + update.seq() + ",\"x\":5.5,\"y\":6,"),
                    update);

            client.share(group, new Location(7.5, 8, "spring"));
            String text = next(texts, "WebSocket's copy");
            HttpRequest poll = HttpRequest.newBuilder(URI.create("http://" + server + "/cur/" + group)).build();
            String polled = HTTP.send(poll, HttpResponse.BodyHandlers.ofString()).body();
            require(polled.equals(text), polled);
            require(next(received, "its own update").update().x() == 7.5, text);
            socket.close();
            require(closed.await(WAIT_SECONDS_MAX, TimeUnit.SECONDS), "the close did not come");
        }
    }

    private static void error(String server) throws Exception {
        Client client = new Client(server);
        client.session.send("/nowhere", new Location(1, 1, null));
        require(next(client.errors, "the ERROR").getFirst("message") != null, "no message");
    }
}
