package geoloop.spring;

import java.util.Map;
import org.springframework.http.HttpStatus;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.http.server.ServerHttpResponse;
import org.springframework.stereotype.Component;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.server.HandshakeInterceptor;
import org.springframework.web.util.UriComponents;
import org.springframework.web.util.UriComponentsBuilder;

/**
 * Finds the group and the cursor of a WebSocket in its address; without a group one of ten is drawn.
 *
 * <p>Without a cursor it is that of this moment: a client that has read the 101 is owed what is published from then on, and
 * the container opens the session only behind that.
 */
@Component
public class GroupHandshakeInterceptor implements HandshakeInterceptor {

    static final String GROUP = "group";
    static final String SINCE = "since";

    private final Hub hub;

    public GroupHandshakeInterceptor(Hub hub) {
        this.hub = hub;
    }

    @Override
    public boolean beforeHandshake(
            ServerHttpRequest request, ServerHttpResponse response, WebSocketHandler handler,
            Map<String, Object> attributes) {
        UriComponents uri = UriComponentsBuilder.fromUri(request.getURI()).build();
        try {
            var path = uri.getPathSegments();
            GroupId group = path.size() == 1 ? GroupId.drawn() : GroupId.valueOf(path.get(1));
            String named = uri.getQueryParams().getFirst(SINCE);
            Long since = named == null ? (Long) hub.cursor(group) : Cursors.read(named);
            if (since == null) {
                throw new IllegalArgumentException("since is no seq");
            }
            attributes.put(GROUP, group);
            attributes.put(SINCE, since);
            return true;
        } catch (IllegalArgumentException error) {
            response.setStatusCode(HttpStatus.BAD_REQUEST);
            return false;
        }
    }

    @Override
    public void afterHandshake(
            ServerHttpRequest request, ServerHttpResponse response, WebSocketHandler handler, Exception error) {
    }
}
