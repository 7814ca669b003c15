package geoloop.spring;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class GroupTest {

    private static final long NOW = 1_000_000;

    private final List<Update> broadcast = new ArrayList<>();
    private final Group group = new Group(
            new UpdateJson(new ObjectMapper()), new Subscription(broadcast::add, () -> { }), NOW);

    private Update publish() {
        return group.publish(Publish.simulated(), NOW).orElseThrow();
    }

    private List<Update> heardSince(Long since) {
        var heard = new ArrayList<Update>();
        assertThat(group.subscribe(new Subscription(heard::add, () -> { }), since)).isTrue();
        return heard;
    }

    @Test
    void cursorIsOwedEverythingAfterIt() {
        long empty = group.cursor();
        Update first = publish();
        Update second = publish();
        assertThat(heardSince(empty)).containsExactly(first, second);
        assertThat(heardSince(0L)).containsExactly(first, second);
        assertThat(heardSince(first.seq())).containsExactly(second);
        assertThat(heardSince(second.seq())).isEmpty();
        List<Update> fromNow = heardSince(null);
        Update third = publish();
        assertThat(fromNow).containsExactly(third);
        assertThat(broadcast).containsExactly(first, second, third);
    }

    @Test
    void lostCursorIsToldOfTheGap() {
        long empty = group.cursor();
        Update first = publish();
        Update second = publish();
        assertThat(heardSince(second.seq() + 1)).containsExactly(first.withGap(), second);
        assertThat(heardSince(empty - 1)).containsExactly(first.withGap(), second);
    }

    @Test
    void cursorOlderThanTheHistoryIsToldOfTheGap() {
        long empty = group.cursor();
        List<Update> all = new ArrayList<>();
        for (int number = 0; number < Group.HISTORY_MAX; number++) {
            all.add(publish());
        }
        assertThat(heardSince(empty)).isEqualTo(all);
        all.add(publish());
        Update dropped = all.remove(0);
        assertThat(heardSince(dropped.seq())).isEqualTo(all);
        all.set(0, all.get(0).withGap());
        assertThat(heardSince(dropped.seq() - 1)).isEqualTo(all);
        assertThat(heardSince(0L)).isEqualTo(all);
    }

    @Test
    void longPollIsToldTheOldestOrWaitsForTheNext() {
        var told = new ArrayList<Update>();
        long empty = group.cursor();
        assertThat(group.poll(empty, told::add)).contains(new Group.Polled.Waits(empty));
        Update first = publish();
        Update second = publish();
        assertThat(told).containsExactly(first);
        assertThat(group.poll(empty, told::add)).contains(new Group.Polled.Owed(first));
        assertThat(group.poll(null, told::add)).contains(new Group.Polled.Waits(second.seq()));
        assertThat(told).containsExactly(first);
    }

    @Test
    void timeFarAheadIsTheServers() {
        var ahead = new Publish(null, 1, 2, NOW + 5_000);
        assertThat(group.publish(ahead, NOW).orElseThrow().json()).contains("\"at\":" + (NOW + 5_000));
        var farAhead = new Publish(null, 1, 2, NOW + 5_001);
        assertThat(group.publish(farAhead, NOW).orElseThrow().json()).contains("\"at\":" + NOW + "}");
    }

    @Test
    void subscriberThatReadsNothingHoldsNobodyAndIsGivenUp() {
        var givenUp = new AtomicInteger();
        var written = new AtomicInteger();
        // Its first write does not come back before it is given up, however much others publish.
        Subscription slow = new Subscription(update -> {
            if (written.incrementAndGet() == 1) {
                publishFromAnotherThreadUntil(givenUp);
            }
        }, givenUp::incrementAndGet);
        assertThat(group.subscribe(slow, null)).isTrue();
        List<Update> other = heardSince(null);
        publish();
        assertThat(givenUp).hasValue(1);
        assertThat(written).hasValue(1);
        assertThat(other).hasSizeGreaterThan(500).isSortedAccordingTo((a, b) -> Long.compare(a.seq(), b.seq()));
    }

    private void publishFromAnotherThreadUntil(AtomicInteger givenUp) throws IOException {
        var publisher = new Thread(() -> {
            for (int number = 0; number < 10_000 && givenUp.get() == 0; number++) {
                publish();
            }
        });
        publisher.start();
        try {
            publisher.join();
        } catch (InterruptedException interrupted) {
            throw new IOException(interrupted);
        }
    }

    @Test
    void subscriberThatIsGoneIsGivenUpAtTheFirstWrite() {
        var givenUp = new AtomicInteger();
        Subscription gone = new Subscription(update -> {
            throw new IOException("gone");
        }, givenUp::incrementAndGet);
        group.subscribe(gone, null);
        publish();
        publish();
        assertThat(givenUp).hasValue(1);
    }

    @Test
    void unusedGroupExpiresAndThenRefuses() {
        Subscription subscription = new Subscription(update -> { }, () -> { });
        group.subscribe(subscription, null);
        assertThat(group.expire(NOW + 1)).isFalse();
        group.unsubscribe(subscription);
        assertThat(group.expire(NOW)).isFalse();
        assertThat(group.expire(NOW + 1)).isTrue();
        assertThat(group.publish(Publish.simulated(), NOW)).isEmpty();
        assertThat(group.subscribe(subscription, null)).isFalse();
        assertThat(group.poll(null, update -> { })).isEmpty();
    }
}
