package geoloop.spring;

import org.springframework.http.HttpStatus;
import org.springframework.web.server.ResponseStatusException;

/** What subscribers say that they have had. */
final class Cursors {

    private static final long SEQ_MAX = (1L << 53) - 1;

    private Cursors() {
    }

    /** Refuses a cursor that no update can have. */
    static void check(Long since) {
        if (since != null && !isSeq(since)) {
            throw new ResponseStatusException(HttpStatus.BAD_REQUEST, "since is 0 to 2^53 - 1");
        }
    }

    /** Reads a cursor; an unreadable one counts as none. */
    static Long read(String text) {
        try {
            long seq = Long.parseLong(text);
            return isSeq(seq) ? seq : null;
        } catch (NumberFormatException unreadable) {
            return null;
        }
    }

    private static boolean isSeq(long number) {
        return number >= 0 && number <= SEQ_MAX;
    }
}
