#include "twin/image-engine.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "model/json.h"

#include <curl/curl.h>
#include <string.h>

enum { ANSWER_LIMIT = 16 << 20, CONNECT_SECONDS = 5 };
#define API "http://docker/v1.41"

struct engine {
    CURL *curl;
    char *socket; /* owned */
};

struct engine *engine_new(const char *socket_path)
{
    struct engine *engine = NEW(struct engine);
    curl_global_init(CURL_GLOBAL_NOTHING);
    engine->curl = curl_easy_init();
    engine->socket = string_copy(socket_path);
    return engine;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    curl_easy_cleanup(engine->curl);
    mem_free(engine->socket);
    mem_free(engine);
}

char *engine_escape(struct engine *engine, const char *text)
{
    char *escaped = curl_easy_escape(engine->curl, text, 0);
    char *copy = string_copy(escaped ? escaped : "");
    curl_free(escaped);
    return copy;
}

/* What comes back of one request. */
struct reception {
    CURL *curl;
    const struct engine_request *request;
    struct strbuf answer;
    struct error problem;
};

static size_t receive(char *bytes, size_t one, size_t size, void *argument)
{
    struct reception *reception = argument;
    long code = 0;
    (void)one;
    curl_easy_getinfo(reception->curl, CURLINFO_RESPONSE_CODE, &code);
    if (reception->request->take && code == 200) {
        int r = reception->request->take(reception->request->argument, bytes, size,
                                         &reception->problem);
        return r < 0 ? 0 : size;
    }
    if (reception->answer.length + size > ANSWER_LIMIT) {
        error_set(&reception->problem, ERROR_LIMIT, "the engine's answer is too large");
        return 0;
    }
    strbuf_add_n(&reception->answer, bytes, size);
    return size;
}

static size_t send_file(char *bytes, size_t one, size_t size, void *argument)
{
    return fread(bytes, 1, one * size, argument);
}

static int refuse(long code, const struct reception *reception, struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    if (json_read(strbuf_text(&reception->answer), reception->answer.length, &answer, NULL) < 0 ||
        value_kind(answer) != VALUE_MAP) {
        value_unref(answer);
        answer = NULL;
    }
    const char *told = answer ? value_get_text(answer, "message") : NULL;
    CLEANUP(mem_freep) char *message = string_copy(told ? told : "it gives no reason");
    text_make_printable(message);
    enum error_code kind = code == 404   ? ERROR_NOT_FOUND
                           : code == 409 ? ERROR_CONFLICT
                           : code >= 500 ? ERROR_UNAVAILABLE
                                         : ERROR_INVALID;
    return error_set(err, kind, "the engine refuses (%ld): %.1000s", code, message);
}

static int finish(struct engine *engine, CURLcode result, struct reception *reception,
                  struct value **ret_answer, struct error *err)
{
    long code = 0;
    if (reception->problem.code != ERROR_NONE)
        return error_move(err, &reception->problem);
    if (result == CURLE_PARTIAL_FILE || result == CURLE_GOT_NOTHING || result == CURLE_RECV_ERROR)
        return error_set(err, ERROR_UNAVAILABLE,
                         "the Docker Engine at %s is gone: it ended before its answer did",
                         engine->socket);
    if (result != CURLE_OK)
        return error_set(err, ERROR_UNAVAILABLE, "no Docker Engine answers at %s: %s",
                         engine->socket, curl_easy_strerror(result));
    curl_easy_getinfo(engine->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200 || code >= 300)
        return refuse(code, reception, err);
    if (!ret_answer)
        return 0;
    *ret_answer = NULL;
    if (reception->answer.length > 0 &&
        json_read(strbuf_text(&reception->answer), reception->answer.length, ret_answer, NULL) < 0)
        return error_set(err, ERROR_UNAVAILABLE, "what the engine answers is not understood");
    return 0;
}

int engine_ask(struct engine *engine, const struct engine_request *request,
               struct value **ret_answer, struct error *err)
{
    struct reception reception = {.curl = engine->curl, .request = request};
    CURL *curl = engine->curl;
    CLEANUP(mem_freep) char *url = string_format(API "%s", request->path);
    CLEANUP(mem_freep) char *body = request->body ? json_text(request->body) : NULL;
    struct curl_slist *headers =
        curl_slist_append(NULL, request->archive ? "Content-Type: application/x-tar"
                                                 : "Content-Type: application/json");
    /* Nobody waits for the leave to go on. */
    headers = curl_slist_append(headers, "Expect:");
    if (request->archive)
        headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, engine->socket);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reception);
    if (request->archive) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_file);
        curl_easy_setopt(curl, CURLOPT_READDATA, request->archive);
    } else if (body || text_equal(request->method, "POST")) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    int r = finish(engine, curl_easy_perform(curl), &reception, ret_answer, err);
    curl_slist_free_all(headers);
    strbuf_done(&reception.answer);
    error_done(&reception.problem);
    return r;
}
