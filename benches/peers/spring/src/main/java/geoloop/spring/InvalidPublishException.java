package geoloop.spring;

import org.springframework.http.HttpStatus;
import org.springframework.web.server.ResponseStatusException;

/** A publish breaks a rule; over HTTP that is 400. */
public class InvalidPublishException extends ResponseStatusException {

    public InvalidPublishException(String rule) {
        super(HttpStatus.BAD_REQUEST, rule);
    }
}
