package geoloop.spring;

/** Where STOMP clients subscribe and send. */
final class StompDestinations {

    static final String LOCATION = "/sub/location/";
    static final String SHARE = "/pub/share/";

    private StompDestinations() {
    }
}
