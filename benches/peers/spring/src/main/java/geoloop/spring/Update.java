package geoloop.spring;

import java.nio.charset.StandardCharsets;

/** A location that was numbered, as every subscriber of its group receives it. */
public record Update(long seq, String json) {

    /** The same, for a subscriber that can no longer get what came before it. */
    public Update withGap() {
        return new Update(seq, json.substring(0, json.length() - 1) + ",\"gap\":true}");
    }

    public byte[] bytes() {
        return json.getBytes(StandardCharsets.UTF_8);
    }
}
