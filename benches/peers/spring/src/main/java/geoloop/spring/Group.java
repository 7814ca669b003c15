package geoloop.spring;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** A group: its latest updates, its subscribers, and the long polls that wait in it. */
final class Group {

    /** As geoloop's {@code --history}. */
    static final int HISTORY_MAX = 128;

    /** Leaves room for two million updates a second before a seq could be given twice across a restart. */
    private static final long SEQS_PER_MILLI = 2048;

    private static final long AHEAD_MILLIS_MAX = 5_000;

    private final UpdateJson json;
    private final Subscription broker;
    private final Deque<Update> history = new ArrayDeque<>();
    /** Changed under the lock; walked by publishers without it once they have offered. */
    private final Set<Subscription> subscriptions = ConcurrentHashMap.newKeySet();
    private final long madeAt;
    private Set<Consumer<Update>> waiting = new HashSet<>();
    private long seq;
    /** The newest update that left the history, if one has. */
    private long droppedSeq;
    private long publishedMillis;
    private boolean isExpired;

    /** {@code broker} is told of every update, whoever else is. */
    Group(UpdateJson json, Subscription broker, long nowMillis) {
        this.json = json;
        this.broker = broker;
        madeAt = nowMillis * SEQS_PER_MILLI;
        seq = madeAt;
        publishedMillis = nowMillis;
    }

    /** Numbers a location and tells everyone; empty if the group has expired meanwhile. */
    Optional<Update> publish(Publish publish, long nowMillis) {
        Update update;
        Set<Consumer<Update>> woken;
        synchronized (this) {
            if (isExpired) {
                return Optional.empty();
            }
            update = number(publish, nowMillis);
            broker.offer(update);
            subscriptions.forEach(subscription -> subscription.offer(update));
            woken = waiting;
            if (!woken.isEmpty()) {
                waiting = new HashSet<>();
            }
        }
        broker.flush();
        subscriptions.forEach(Subscription::flush);
        woken.forEach(waiter -> waiter.accept(update));
        return Optional.of(update);
    }

    private Update number(Publish publish, long nowMillis) {
        publishedMillis = nowMillis;
        boolean isTimed = publish.at() != null && publish.at() <= nowMillis + AHEAD_MILLIS_MAX;
        Update update = json.write(++seq, publish, isTimed ? publish.at() : nowMillis);
        history.addLast(update);
        if (history.size() > HISTORY_MAX) {
            droppedSeq = history.removeFirst().seq();
        }
        return update;
    }

    /** What has had everything so far. */
    synchronized long cursor() {
        return seq;
    }

    synchronized Optional<Update> newest() {
        return Optional.ofNullable(history.peekLast());
    }

    /** Owes the subscription everything after the cursor if there is one, and everything from now on; false if expired. */
    boolean subscribe(Subscription subscription, Long since) {
        synchronized (this) {
            if (isExpired) {
                return false;
            }
            if (since != null) {
                after(since).forEach(subscription::offer);
            }
            subscriptions.add(subscription);
        }
        subscription.flush();
        return true;
    }

    synchronized void unsubscribe(Subscription subscription) {
        subscriptions.remove(subscription);
    }

    /** What a long poll comes to. */
    sealed interface Polled {
        /** It is owed this at once. */
        record Owed(Update update) implements Polled {}

        /** It waits for what comes after this cursor. */
        record Waits(long cursor) implements Polled {}
    }

    /** The oldest update after the cursor; without one the waiter is told the next. Empty if the group has expired. */
    synchronized Optional<Polled> poll(Long since, Consumer<Update> waiter) {
        if (isExpired) {
            return Optional.empty();
        }
        List<Update> owed = since == null ? List.of() : after(since);
        if (!owed.isEmpty()) {
            return Optional.of(new Polled.Owed(owed.get(0)));
        }
        waiting.add(waiter);
        return Optional.of(new Polled.Waits(seq));
    }

    synchronized void leave(Consumer<Update> waiter) {
        waiting.remove(waiter);
    }

    /** Says whether nobody has used the group for so long that it may go; from then on it refuses. */
    synchronized boolean expire(long unusedSinceMillis) {
        isExpired = subscriptions.isEmpty() && waiting.isEmpty() && publishedMillis < unusedSinceMillis;
        return isExpired;
    }

    /** Everything kept after the cursor, with a gap before it if something is not. */
    private List<Update> after(long since) {
        boolean isLost = since > seq;
        long cursor = isLost ? 0 : since;
        boolean hasGap = isLost || cursor < droppedSeq || (cursor != 0 && cursor < madeAt);
        var owed = new ArrayList<Update>();
        // From the newest on: a cursor is seldom far behind.
        for (var updates = history.descendingIterator(); updates.hasNext();) {
            Update update = updates.next();
            if (update.seq() <= cursor) {
                break;
            }
            owed.add(0, update);
        }
        if (hasGap && !owed.isEmpty()) {
            owed.set(0, owed.get(0).withGap());
        }
        return owed;
    }
}
