package geoloop.spring;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Component;

/** The groups. */
@Component
public class Hub {

    /** As geoloop's {@code --group-ttl}. */
    private static final Duration GROUP_TTL = Duration.ofMinutes(10);

    private final UpdateJson json;
    private final StompBroadcast broadcast;
    private final ConcurrentMap<GroupId, Group> groups = new ConcurrentHashMap<>();

    public Hub(UpdateJson json, StompBroadcast broadcast) {
        this.json = json;
        this.broadcast = broadcast;
    }

    public Update publish(GroupId id, Publish publish) {
        return with(id, group -> group.publish(publish, System.currentTimeMillis()));
    }

    public Optional<Update> newest(GroupId id) {
        return Optional.ofNullable(groups.get(id)).flatMap(Group::newest);
    }

    /** The cursor of who has had everything so far; of an empty group it lies below its next seq. */
    public long cursor(GroupId id) {
        return with(id, group -> Optional.of(group.cursor()));
    }

    public void subscribe(GroupId id, Long since, Subscription subscription) {
        with(id, group -> group.subscribe(subscription, since) ? Optional.of(true) : Optional.empty());
    }

    public void unsubscribe(GroupId id, Subscription subscription) {
        Optional.ofNullable(groups.get(id)).ifPresent(group -> group.unsubscribe(subscription));
    }

    /** The update that a long poll is owed at once, or the cursor behind which {@code waiter} waits for the next. */
    Group.Polled poll(GroupId id, Long since, Consumer<Update> waiter) {
        return with(id, group -> group.poll(since, waiter));
    }

    void leave(GroupId id, Consumer<Update> waiter) {
        Optional.ofNullable(groups.get(id)).ifPresent(group -> group.leave(waiter));
    }

    /** Does something with a group, which is made if there is none; and once more if it has expired meanwhile. */
    private <T> T with(GroupId id, Function<Group, Optional<T>> action) {
        while (true) {
            Optional<T> result = action.apply(groups.computeIfAbsent(id, this::make));
            if (result.isPresent()) {
                return result.get();
            }
        }
    }

    private Group make(GroupId id) {
        var broker = new Subscription(update -> broadcast.send(id, update), () -> { });
        return new Group(json, broker, System.currentTimeMillis());
    }

    @Scheduled(fixedDelay = 10, timeUnit = TimeUnit.SECONDS)
    void expire() {
        long unusedSinceMillis = System.currentTimeMillis() - GROUP_TTL.toMillis();
        groups.values().removeIf(group -> group.expire(unusedSinceMillis));
    }
}
