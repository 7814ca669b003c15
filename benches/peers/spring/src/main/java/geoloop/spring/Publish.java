package geoloop.spring;

import java.util.concurrent.ThreadLocalRandom;

/** What somebody shares: a location, of a member or of nobody in particular, at a time or now. */
public record Publish(String member, double x, double y, Long at) {

    /** A location made up for who gave none. */
    public static Publish simulated() {
        var random = ThreadLocalRandom.current();
        return new Publish(null, random.nextDouble(100), random.nextDouble(100), null);
    }
}
