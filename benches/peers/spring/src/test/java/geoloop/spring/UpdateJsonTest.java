package geoloop.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class UpdateJsonTest {

    private final UpdateJson json = new UpdateJson(new ObjectMapper());

    private Publish read(String body) {
        return json.read(body.getBytes(StandardCharsets.UTF_8));
    }

    @ParameterizedTest
    @CsvSource({
        "1.0, 1", "-0.0, 0", "-7, -7", "12.5, 12.5", "0.0005, 0.0005", "1.234e-5, 0.00001234", "1e-6, 1e-6",
        "-2.5e-7, -2.5e-7", "12345678.9, 12345678.9", "1e15, 1000000000000000", "1e16, 1e16", "1.1e21, 1.1e21",
        "5.684341886080802e-14, 5.684341886080802e-14", "1.7976931348623157e308, 1.7976931348623157e308"})
    void numbersAreWrittenAsGeoloopWritesThem(double number, String text) {
        assertThat(UpdateJson.ShortestNumber.text(number)).isEqualTo(text);
        assertThat(Double.parseDouble(text)).isEqualTo(number + 0.0);
    }

    @Test
    void keysHaveTheirOrderAndNoBlanks() {
        Update named = json.write(17, new Publish("a\"é", 12.5, 48, null), 1767225600123L);
        assertThat(named.json()).isEqualTo("{\"seq\":17,\"member\":\"a\\\"é\",\"x\":12.5,\"y\":48,\"at\":1767225600123}");
        Update nameless = json.write(18, new Publish(null, 1, 2, null), 3);
        assertThat(nameless.json()).isEqualTo("{\"seq\":18,\"x\":1,\"y\":2,\"at\":3}");
        assertThat(nameless.withGap().json()).isEqualTo("{\"seq\":18,\"x\":1,\"y\":2,\"at\":3,\"gap\":true}");
    }

    @Test
    void publishIsRead() {
        assertThat(read("\ufeff {\"member\":\"é\",\"x\":1,\"y\":2.5,\"at\":7,\"z\":[{}]}"))
                .isEqualTo(new Publish("é", 1, 2.5, 7L));
        assertThat(read("{\"x\":1,\"y\":2,\"at\":99999999999999999999}").at()).isEqualTo(Long.MAX_VALUE);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "Hello from k6!", "[1]", "{}", "{\"content\":\"Hi from k6 STOMP!\"}"})
    void bodyThatSaysNothingIsMadeUp(String body) {
        Publish publish = read(body);
        assertThat(publish.member()).isNull();
        assertThat(publish.x()).isGreaterThanOrEqualTo(0).isLessThan(100);
        assertThat(publish.y()).isGreaterThanOrEqualTo(0).isLessThan(100);
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{", "{\"x\":1,\"y\":2} x", "{\"x\":1}", "{\"x\":1,\"y\":\"2\"}", "{\"x\":1,\"y\":1e400}", "{\"x\":1,\"y\":null}",
        "{\"member\":\"a\"}", "{\"x\":1,\"y\":2,\"member\":\"\"}", "{\"x\":1,\"y\":2,\"member\":7}",
        "{\"x\":1,\"y\":2,\"member\":\"\\u0001\"}", "{\"x\":1,\"y\":2,\"member\":\"\\ud800\"}",
        "{\"x\":1,\"y\":2,\"at\":-1}", "{\"x\":1,\"y\":2,\"at\":1.5}", "{\"x\":1,\"y\":2,\"at\":\"1\"}"})
    void brokenPublishIsRefused(String body) {
        assertThatThrownBy(() -> read(body)).isInstanceOf(InvalidPublishException.class);
    }

    @Test
    void memberIsSixtyFourBytesAtMost() {
        assertThat(read("{\"x\":1,\"y\":2,\"member\":\"" + "é".repeat(32) + "\"}").member()).hasSize(32);
        assertThatThrownBy(() -> read("{\"x\":1,\"y\":2,\"member\":\"" + "é".repeat(32) + "a\"}"))
                .isInstanceOf(InvalidPublishException.class);
    }
}
