# Puts nginx, as scripts/nginx.conf sets it up, in front of the server of server.sh. Sourced, not run.

# Writes what nginx needs into $1: the settings of scripts/nginx.conf, listening on the port $2 of the loopback in front of
# the server at $3, and what stands around them.
write_nginx_conf() {
    local folder=$1 port=$2 server=$3 user=
    # What the worker processes may read is root's here; without root there is nobody to become.
    [ "$(id -u)" -ne 0 ] || user="user root;"
    sed -e "s/server 127\.0\.0\.1:8080;/server $server;/" -e "s/listen 80 /listen 127.0.0.1:$port /" \
        -e '/listen \[::\]:80 /d' "$REPOSITORY/scripts/nginx.conf" >"$folder/geoloop.conf"
    grep -q "server $server;" "$folder/geoloop.conf" && grep -q "listen 127.0.0.1:$port " "$folder/geoloop.conf" || return 1
    cat >"$folder/nginx.conf" <<CONF
$user
daemon off;
pid $folder/nginx.pid;
worker_processes 1;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    include $folder/geoloop.conf;
    # As distributions have it beside conf.d.
    server {
        listen 127.0.0.1:$port default_server;
        server_name _;
        return 404;
    }
}
CONF
}

# A port of the loopback that nobody has at the moment: nginx takes no port 0.
find_free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Starts nginx in front of SERVER_ADDRESS, and sets that to where nginx listens, and NGINX_ID to its process.
start_nginx() {
    local folder="$CACHE/nginx" port
    rm -rf "$folder"
    mkdir -p "$folder"
    port=$(find_free_port) && write_nginx_conf "$folder" "$port" "$SERVER_ADDRESS" || return 1
    nginx -p "$folder" -c "$folder/nginx.conf" -e "$folder/error.log" &
    NGINX_ID=$!
    SERVER_ADDRESS="127.0.0.1:$port"
    if ! curl --silent --show-error --fail --noproxy '*' --output "$folder/healthz" --retry 10 --retry-delay 1 \
        --retry-connrefused --max-time 20 "http://$SERVER_ADDRESS/healthz"; then
        echo "nginx does not pass requests on; its log:" >&2
        cat "$folder/error.log" >&2
        return 1
    fi
}

stop_nginx() {
    [ -n "${NGINX_ID:-}" ] || return 0
    kill -TERM "$NGINX_ID" 2>/dev/null
    wait "$NGINX_ID" 2>/dev/null
    NGINX_ID=
}
