package geoloop.spring;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.io.NumberOutput;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.JsonSerializer;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.annotation.JsonSerialize;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.stream.Stream;
import org.springframework.stereotype.Component;

/** Publishes read from JSON, and updates written as it. */
@Component
public class UpdateJson {

    private static final int MEMBER_BYTES_MAX = 64;

    /** Up to here every whole number is written as an integer of at most 15 digits, as it is. */
    private static final double PLAIN_WHOLE_MAX = 1e15;

    private final ObjectReader reader;
    private final ObjectWriter writer;

    public UpdateJson(ObjectMapper mapper) {
        reader = mapper.readerFor(JsonNode.class).with(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
        writer = mapper.writerFor(Fields.class);
    }

    public Update write(long seq, Publish publish, long at) {
        try {
            var fields = new Fields(seq, publish.member(), publish.x(), publish.y(), at);
            return new Update(seq, writer.writeValueAsString(fields));
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("numbers and a string that can be encoded are JSON", impossible);
        }
    }

    /** What a body asks for: a body that says nothing of a location asks for one that is made up. */
    public Publish read(byte[] body) {
        if (!beginsObject(body)) {
            return Publish.simulated();
        }
        JsonNode fields = parse(body);
        if (Stream.of("x", "y", "member", "at", "left").noneMatch(fields::has)) {
            return Publish.simulated();
        }
        return new Publish(member(fields), coordinate(fields, "x"), coordinate(fields, "y"), at(fields));
    }

    private JsonNode parse(byte[] body) {
        try {
            return reader.readTree(body);
        } catch (IOException error) {
            throw new InvalidPublishException("the body begins like an object and does not parse");
        }
    }

    /** Whether the first byte is a brace, behind blanks and a byte order mark. */
    private static boolean beginsObject(byte[] body) {
        int at = 0;
        if (body.length >= 3 && (body[0] & 0xff) == 0xef && (body[1] & 0xff) == 0xbb && (body[2] & 0xff) == 0xbf) {
            at = 3;
        }
        while (at < body.length && " \t\r\n".indexOf(body[at]) >= 0) {
            at++;
        }
        return at < body.length && body[at] == '{';
    }

    private static double coordinate(JsonNode fields, String name) {
        JsonNode value = fields.path(name);
        if (!value.isNumber() || !Double.isFinite(value.doubleValue())) {
            throw new InvalidPublishException(name + " is not a finite number");
        }
        return value.doubleValue();
    }

    private static String member(JsonNode fields) {
        if (!fields.has("member")) {
            return null;
        }
        String member = fields.get("member").textValue();
        boolean isName = member != null && !member.isEmpty()
                && StandardCharsets.UTF_8.newEncoder().canEncode(member)
                && member.getBytes(StandardCharsets.UTF_8).length <= MEMBER_BYTES_MAX
                && member.chars().noneMatch(Character::isISOControl);
        if (!isName) {
            throw new InvalidPublishException("a member is 1 to 64 bytes of text without control characters");
        }
        return member;
    }

    private static Long at(JsonNode fields) {
        if (!fields.has("at")) {
            return null;
        }
        JsonNode at = fields.get("at");
        if (!at.isIntegralNumber() || at.bigIntegerValue().signum() < 0) {
            throw new InvalidPublishException("at is not an integer from 0");
        }
        // What is past a long is far ahead, like the largest of them.
        return at.canConvertToLong() ? at.longValue() : Long.MAX_VALUE;
    }

    @JsonPropertyOrder({"seq", "member", "x", "y", "at"})
    @JsonInclude(JsonInclude.Include.NON_NULL)
    private record Fields(
            long seq,
            String member,
            @JsonSerialize(using = ShortestNumber.class) double x,
            @JsonSerialize(using = ShortestNumber.class) double y,
            long at) {
    }

    /** Writes a number in the shortest form that reads back equal, without {@code .0}, and -0 as 0. */
    static class ShortestNumber extends JsonSerializer<Double> {

        @Override
        public void serialize(Double number, JsonGenerator out, SerializerProvider provider) throws IOException {
            out.writeNumber(text(number));
        }

        static String text(double number) {
            if (number == Math.rint(number) && Math.abs(number) < PLAIN_WHOLE_MAX) {
                return Long.toString((long) number);
            }
            // What the JDK before 19 writes is not always the shortest.
            String shortest = NumberOutput.toString(number, true);
            return shortest.indexOf('E') < 0 ? shortest : withFewerExponents(shortest);
        }

        /** Java writes an exponent below 0.001 and from 10 million on; geoloop below 0.00001 and from 10^16 on. */
        private static String withFewerExponents(String shortest) {
            var decimal = new BigDecimal(shortest).stripTrailingZeros();
            int exponent = decimal.precision() - decimal.scale() - 1;
            if (exponent >= -5 && exponent < 16) {
                return decimal.toPlainString();
            }
            String digits = decimal.movePointLeft(exponent).toPlainString();
            return digits + "e" + exponent;
        }
    }
}
