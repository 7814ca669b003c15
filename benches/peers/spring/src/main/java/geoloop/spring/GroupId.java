package geoloop.spring;

import java.util.concurrent.ThreadLocalRandom;

/** Names a group: a decimal integer from 0. Spring reads one from a path or a destination by {@link #valueOf}. */
public record GroupId(long number) {

    private static final int DIGITS_MAX = 19;

    /** The group of those who name none where one is needed. */
    public static final GroupId ZERO = new GroupId(0);

    public static GroupId valueOf(String text) {
        boolean isDecimal = !text.isEmpty() && text.length() <= DIGITS_MAX
                && text.chars().allMatch(c -> c >= '0' && c <= '9');
        if (!isDecimal) {
            throw new IllegalArgumentException("a group is a decimal integer from 0");
        }
        return new GroupId(Long.parseLong(text));
    }

    /** One of the ten groups that a WebSocket without a group is put into. */
    public static GroupId drawn() {
        return new GroupId(ThreadLocalRandom.current().nextLong(10));
    }
}
