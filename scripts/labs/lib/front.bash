# A real nginx before the server: what a lab needs to show what stands between.

# front 'LINES': starts an nginx whose locations are these lines, and waits until it listens: on a Unix socket in
# $folder, so that no port is needed. Ask it by: curl --unix-socket $nginx http://nginx/…
front() {
    local place=$folder/front program
    mkdir -p "$place"
    nginx=$place/socket
    program=$(PATH=$PATH:/usr/sbin:/sbin command -v nginx)
    printf '%s\n' "$1" >"$place/locations.conf"
    # One process, so that its end is the end of all of it; and nothing of it outside of the folder.
    cat >"$place/nginx.conf" <<NGINX
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen unix:$nginx;
        include locations.conf;
    }
}
NGINX
    run "cat $place/locations.conf"
    start nginx "$program -p $place -c nginx.conf -e error.log"
    wait_until 20 nginx_listens_or_ended "$started"
    [ -S "$nginx" ] || cannot "nginx did not start: $(tail -n 1 "$place/error.log")" \
        "nginx가 시작되지 않았다: $(tail -n 1 "$place/error.log")"
}

nginx_listens_or_ended() { curl -s -o /dev/null --unix-socket "$nginx" http://nginx/ || ! is_alive "$1"; }
