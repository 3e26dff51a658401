#include "harness.h"
#include "http-scene.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

enum { SIZE = 300000, PEM_SIZE = 4096 };

/* A certificate for localhost that signs itself, and its key. */
static bool make_certificate(char *ret_certificate, char *ret_key)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    size_t key_size = PEM_SIZE, size = PEM_SIZE;
    time_t begin = (time_t)(world_wall_clock() / 1000000) - 3600;
    gnutls_x509_privkey_init(&key);
    gnutls_x509_crt_init(&certificate);
    bool is_made =
        gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) >= 0 &&
        gnutls_x509_crt_set_version(certificate, 3) >= 0 &&
        gnutls_x509_crt_set_serial(certificate, "\x01", 1) >= 0 &&
        gnutls_x509_crt_set_activation_time(certificate, begin) >= 0 &&
        gnutls_x509_crt_set_expiration_time(certificate, begin + 7200) >= 0 &&
        gnutls_x509_crt_set_dn(certificate, "CN=localhost", NULL) >= 0 &&
        gnutls_x509_crt_set_key(certificate, key) >= 0 &&
        gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0) >= 0 &&
        gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, ret_key, &key_size) >= 0 &&
        gnutls_x509_crt_export(certificate, GNUTLS_X509_FMT_PEM, ret_certificate, &size) >= 0;
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
    return is_made;
}

static void note_gone(void *argument)
{
    struct scene *scene = argument;
    scene->n_gone++;
    gate_open(scene->loop, &scene->happened);
}

static void handle(void *argument, struct http_request *request)
{
    struct scene *scene = argument;
    const char *path = http_request_path(request);
    scene->n_begun++;
    gate_open(scene->loop, &scene->happened);
    if (strcmp(path, "/wait") == 0) {
        http_request_on_gone(request, note_gone, scene);
        wait_until(scene, &scene->n_gone, 1);
    }
    if (strcmp(path, "/stream") == 0) {
        http_stream_begin(request, 200, NULL);
        for (int i = 0; i < 3; i++) {
            http_stream_write(request, "event\n", 6, NULL);
            loop_sleep(scene->loop, 1000);
        }
        http_stream_end(request);
    } else {
        http_answer(request, 200, NULL, http_request_body(request),
                    http_request_body_length(request));
    }
    scene->numbers[0] += http_request_is_tls(request);
    scene->n_ended++;
    gate_open(scene->loop, &scene->happened);
}

/* --- A client over TLS --- */

struct client {
    struct scene *scene;
    int fd;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

CO_FN static bool wait_for(struct client *client, int r)
{
    int events = gnutls_record_get_direction(client->session) ? LOOP_WRITABLE : LOOP_READABLE;
    return (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) &&
           loop_wait_fd(client->scene->loop, client->fd, events, patience(), NULL) >= 0;
}

CO_FN static bool client_begin(struct client *client, struct scene *scene, const char *priority)
{
    int r;
    *client = (struct client){.scene = scene, .fd = client_open(scene)};
    gnutls_certificate_allocate_credentials(&client->credentials);
    gnutls_init(&client->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    gnutls_priority_set_direct(client->session, priority, NULL);
    gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    gnutls_transport_set_int(client->session, client->fd);
    do
        r = gnutls_handshake(client->session);
    while (r < 0 && wait_for(client, r));
    return r >= 0;
}

CO_FN static bool client_say(struct client *client, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = gnutls_record_send(client->session, text, length);
        if (n < 0 && !wait_for(client, (int)n))
            return false;
        text += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

CO_FN static bool client_hear(struct client *client, struct strbuf *reply, const char *until)
{
    char piece[16 * 1024];
    while (!strstr(strbuf_text(reply), until)) {
        ssize_t n = gnutls_record_recv(client->session, piece, sizeof(piece));
        if (n > 0)
            strbuf_add_n(reply, piece, (size_t)n);
        else if (n == 0 || !wait_for(client, (int)n))
            return false;
    }
    return true;
}

static void client_end(struct client *client)
{
    gnutls_deinit(client->session);
    gnutls_certificate_free_credentials(client->credentials);
    close(client->fd);
}

static bool run_with_tls(struct scene *scene, void (*script)(struct scene *scene))
{
    static char certificate[PEM_SIZE], key[PEM_SIZE];
    scene->settings.handle = handle;
    scene->settings.address = "127.0.0.1";
    scene->settings.max_body = SIZE;
    scene->settings.certificate = certificate;
    scene->settings.key = key;
    return make_certificate(certificate, key) && scene_run(scene, script);
}

static void talk(struct scene *scene)
{
    struct client client;
    struct strbuf text = {0};
    scene->numbers[1] = client_begin(&client, scene, "NORMAL");
    strbuf_addf(&text, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", SIZE);
    strbuf_add_repeated(&text, 'x', SIZE - 3);
    strbuf_add(&text, "end");
    scene->numbers[2] = client_say(&client, text.text, text.length) &&
                        client_hear(&client, &scene->replies[0], "xend");
    static const char ask[] = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";
    scene->numbers[3] = client_say(&client, ask, sizeof(ask) - 1) &&
                        client_hear(&client, &scene->replies[1], "\r\n0\r\n\r\n");
    client_end(&client);
    strbuf_done(&text);
}

TEST(requests_bodies_and_streams_pass_through_tls)
{
    struct scene scene = {0};
    CHECK(run_with_tls(&scene, talk));
    CHECK(scene.numbers[1] && scene.numbers[2] && scene.numbers[3]);
    CHECK(scene.numbers[0] == 2);
    CHECK(scene.replies[0].length > SIZE);
    CHECK(strstr(strbuf_text(&scene.replies[1]), "event\n"));
    scene_done(&scene);
}

static void leave(struct scene *scene)
{
    static const char ask[] = "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n";
    struct client client;
    scene->numbers[1] = client_begin(&client, scene, "NORMAL");
    client_say(&client, ask, sizeof(ask) - 1);
    wait_until(scene, &scene->n_begun, 1);
    client_end(&client);
    wait_until(scene, &scene->n_ended, 1);
}

TEST(a_client_that_leaves_is_noticed_behind_tls)
{
    struct scene scene = {0};
    CHECK(run_with_tls(&scene, leave));
    CHECK(scene.numbers[1] && scene.n_gone == 1 && scene.n_ended == 1);
    scene_done(&scene);
}

static void come_in_other_ways(struct scene *scene)
{
    struct client client;
    scene->numbers[1] = client_begin(&client, scene, "NORMAL:-VERS-ALL:+VERS-TLS1.1");
    client_end(&client);
    scene->numbers[2] = client_begin(&client, scene, "NORMAL:-VERS-ALL:+VERS-TLS1.2");
    client_end(&client);
    exchange(scene, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &scene->replies[0]);
}

static void come_and_be_silent(struct scene *scene)
{
    int fd = client_open(scene);
    client_read(scene, fd, &scene->replies[1], NULL);
    close(fd);
}

TEST(old_versions_plain_text_and_silence_get_nothing)
{
    struct scene scene = {0}, silent = {0};
    CHECK(run_with_tls(&scene, come_in_other_ways));
    CHECK(!scene.numbers[1] && scene.numbers[2]);
    CHECK(!strstr(strbuf_text(&scene.replies[0]), "HTTP") && scene.n_begun == 0);
    /* Who begins no handshake is cut like any other. */
    silent.settings.header_timeout_us = 100000;
    CHECK(run_with_tls(&silent, come_and_be_silent));
    CHECK(silent.replies[1].length == 0 && silent.counts.n_cut == 1);
    scene_done(&scene);
    scene_done(&silent);
}
