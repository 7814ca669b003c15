package geoloop.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.web.server.LocalServerPort;

/** The whole server, by the clients of the JDK. Each test has groups of its own. */
@SpringBootTest(webEnvironment = SpringBootTest.WebEnvironment.RANDOM_PORT)
class ServerTest {

    private static final String CONNECT = "CONNECT\naccept-version:1.0,1.1,2.0\n\n\0\n";

    @LocalServerPort
    private int port;

    private final HttpClient client = HttpClient.newHttpClient();

    /** A WebSocket, and what came over it. */
    private record Socket(WebSocket out, BlockingQueue<String> heard) {

        String next() throws InterruptedException {
            String text = heard.poll(10, TimeUnit.SECONDS);
            assertThat(text).as("something within 10 s").isNotNull();
            return text;
        }

        void say(String text) {
            out.sendText(text, true).join();
        }
    }

    private Socket open(String target) {
        var heard = new LinkedBlockingQueue<String>();
        WebSocket out = client.newWebSocketBuilder()
                .buildAsync(URI.create("ws://localhost:" + port + target), new WebSocket.Listener() {
                    private final StringBuilder text = new StringBuilder();

                    @Override
                    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
                        text.append(data);
                        if (last) {
                            heard.add(text.toString());
                            text.setLength(0);
                        }
                        socket.request(1);
                        return null;
                    }

                    @Override
                    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
                        heard.add("closed with " + code);
                        return null;
                    }
                }).join();
        return new Socket(out, heard);
    }

    private HttpResponse<String> get(String target, String... headers) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create("http://localhost:" + port + target));
        if (headers.length > 0) {
            request.headers(headers);
        }
        return client.send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    private HttpResponse<String> post(String target, String body) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create("http://localhost:" + port + target))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        return client.send(request, HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void shortPollIsAnsweredTheNewestOnce() throws Exception {
        String made = get("/cur/1").body();
        assertThat(made).startsWith("{\"seq\":0,\"x\":");
        String update = post("/location/share/1", "{\"x\":1,\"y\":2}").body();
        HttpResponse<String> polled = get("/cur/1");
        assertThat(polled.body()).isEqualTo(update);
        String tag = polled.headers().firstValue("ETag").orElseThrow();
        assertThat(get("/location/cur/1", "If-None-Match", tag).statusCode()).isEqualTo(304);
        post("/cur/1", "");
        assertThat(get("/location/cur/1", "If-None-Match", tag).statusCode()).isEqualTo(200);
    }

    @Test
    void longPollGoesOnFromItsCursor() throws Exception {
        HttpResponse<String> nothing = get("/location/long/2?timeout=0", "Accept", "text/event-stream");
        assertThat(nothing.statusCode()).isEqualTo(204);
        String cursor = nothing.headers().firstValue("Location-Seq").orElseThrow();
        String first = post("/location/long/2/notify", "").body();
        post("/location/long/2/notify", "");
        HttpResponse<String> polled = get("/location/long/2?since=" + cursor, "Accept", "text/event-stream");
        assertThat(polled.body()).isEqualTo(first);
        assertThat(first).contains("\"seq\":" + polled.headers().firstValue("Location-Seq").orElseThrow() + ",");
    }

    @Test
    void longPollThatHearsNothingIsAnswered204() throws Exception {
        HttpResponse<String> nothing = get("/location/long/22?timeout=10");
        assertThat(nothing.statusCode()).isEqualTo(204);
        assertThat(nothing.headers().firstValue("Location-Seq")).isPresent();
    }

    @Test
    void whatIsNoGroupIsRefused() throws Exception {
        for (String target : new String[] {"/cur/x", "/cur/-1", "/cur/+1", "/cur/9223372036854775808", "/location/sse/x",
            "/location/long/1?since=-1", "/location/long/1?timeout=60001"}) {
            HttpResponse<String> refused = get(target);
            assertThat(refused.statusCode()).as(target).isEqualTo(400);
            assertThat(refused.headers().firstValue("Content-Type")).contains("application/problem+json");
        }
        assertThat(post("/cur/1", " ".repeat(16 * 1024 + 1)).statusCode()).isEqualTo(413);
        assertThat(get("/nowhere").statusCode()).isEqualTo(404);
        assertThatThrownBy(() -> open("/ws/x")).isInstanceOf(CompletionException.class)
                .hasCauseInstanceOf(WebSocketHandshakeException.class);
    }

    @Test
    void webSocketIsToldFromItsHandshakeOn() throws Exception {
        Socket socket = open("/ws/4");
        String update = post("/location/share/4", "{\"member\":\"a\",\"x\":1,\"y\":2}").body();
        assertThat(socket.next()).isEqualTo(update);
        socket.say("{\"x\":3,\"y\":4}");
        assertThat(socket.next()).contains("\"x\":3,\"y\":4");
        socket.say("{\"x\":3}");
        assertThat(socket.next()).isEqualTo("{\"error\":\"bad_publish\",\"detail\":\"y is not a finite number\"}");
        long seq = Long.parseLong(update.split("[:,]")[1]);
        assertThat(open("/ws/4?since=" + (seq - 1)).next()).isEqualTo(update);
    }

    @Test
    void webSocketMessagesAreTextOfEightKibibytesAtMost() throws Exception {
        Socket socket = open("/ws/41");
        socket.say("x".repeat(8 * 1024));
        assertThat(socket.next()).startsWith("{\"seq\":");
        socket.say("x".repeat(8 * 1024 + 1));
        assertThat(socket.next()).isEqualTo("closed with 1009");
        Socket binary = open("/ws/41");
        binary.out().sendBinary(ByteBuffer.wrap(new byte[1]), true).join();
        assertThat(binary.next()).isEqualTo("closed with 1003");
    }

    @Test
    void stompFramesOfOneClientTakeEffectInOrder() throws Exception {
        Socket socket = open("/location");
        socket.say(CONNECT);
        socket.say("SUBSCRIBE\nid:s\nreceipt:subscribed\ndestination:/sub/location/5\n\n\0\n");
        socket.say("SEND\nreceipt:sent\ndestination:/pub/share/5\n\n{\"x\":1,\"y\":2}\0\n");
        assertThat(socket.next()).startsWith("CONNECTED\nversion:1.1\n");
        assertThat(socket.next()).startsWith("RECEIPT\nreceipt-id:subscribed\n");
        // The broker writes an update and we a receipt: which comes first is nobody's promise.
        String[] told = {socket.next(), socket.next()};
        assertThat(told).anyMatch(frame -> frame.startsWith("RECEIPT\nreceipt-id:sent\n"));
        String message = told[told[0].startsWith("MESSAGE\n") ? 0 : 1];
        String update = get("/cur/5").body();
        String seq = update.split("[:,]")[1];
        assertThat(message).contains("\nmessage-id:0-" + seq + "\n", "\nsubscription:s\n",
                "\ndestination:/sub/location/5\n", "\ncontent-type:application/json\n",
                "\ncontent-length:" + update.length() + "\n").endsWith("\n\n" + update + "\0");
    }

    @Test
    void stompSendStraightToSubscribersIsAPublish() throws Exception {
        Socket socket = open("/location");
        socket.say(CONNECT);
        socket.say("SUBSCRIBE\nid:s\ndestination:/sub/location/6\n\n\0");
        socket.say("SEND\ndestination:/sub/location/6\n\nhello\0");
        assertThat(socket.next()).startsWith("CONNECTED\n");
        assertThat(socket.next()).endsWith("\n\n" + get("/cur/6").body() + "\0");
    }

    @Test
    void stompErrorIsTheLastThatIsSaid() throws Exception {
        String[] refused = {
            "SUBSCRIBE\nid:s\ndestination:/sub/location/x\n\n\0", "SUBSCRIBE\nid:s\ndestination:/topic/1\n\n\0",
            "SUBSCRIBE\nid:s\n\n\0", "SEND\ndestination:/pub/other/1\n\n\0", "SEND\ndestination:/pub/share/7\n\n{\"x\":1}\0"};
        for (String frame : refused) {
            Socket socket = open("/location");
            socket.say(CONNECT);
            socket.say(frame);
            assertThat(socket.next()).startsWith("CONNECTED\n");
            assertThat(socket.next()).as(frame).startsWith("ERROR\nmessage:");
            assertThat(socket.next()).as(frame).isEqualTo("closed with 1002");
        }
    }
}
