package geoloop.spring;

import java.io.IOException;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What one subscriber is still owed, in order.
 *
 * <p>Updates are offered under the lock of their group, which is what gives them their order, and written outside of it
 * by whichever thread gets to it first. So a subscriber that does not read holds the one thread that writes to it
 * and nobody else, until it is owed more than {@link #WAITING_CHARS_MAX} and is given up.
 */
public final class Subscription {

    /** As geoloop's {@code --queue-bytes}. */
    private static final int WAITING_CHARS_MAX = 64 * 1024;

    /** Writes an update to the subscriber; may block. */
    public interface Sink {
        void send(Update update) throws IOException;
    }

    private final Sink sink;
    private final Runnable giveUp;
    private final Queue<Update> waiting = new ConcurrentLinkedQueue<>();
    private final AtomicInteger waitingChars = new AtomicInteger();
    private final ReentrantLock writing = new ReentrantLock();
    private volatile boolean isLost;

    /** {@code giveUp} must not block: it is run by a publisher. */
    public Subscription(Sink sink, Runnable giveUp) {
        this.sink = sink;
        this.giveUp = giveUp;
    }

    void offer(Update update) {
        if (isLost) {
            return;
        }
        waiting.add(update);
        if (waitingChars.addAndGet(update.json().length()) > WAITING_CHARS_MAX) {
            lose();
        }
    }

    void flush() {
        while (!waiting.isEmpty() && writing.tryLock()) {
            try {
                writeWaiting();
            } finally {
                writing.unlock();
            }
        }
    }

    private void writeWaiting() {
        for (Update next = waiting.poll(); next != null; next = waiting.poll()) {
            waitingChars.addAndGet(-next.json().length());
            if (isLost) {
                continue;
            }
            try {
                sink.send(next);
            } catch (IOException | RuntimeException gone) {
                lose();
            }
        }
    }

    private void lose() {
        isLost = true;
        waiting.clear();
        giveUp.run();
    }
}
