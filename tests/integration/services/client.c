#include "client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static CURL *kept;

static size_t take_body(char *bytes, size_t size, size_t count, void *argument)
{
    struct client_answer *answer = argument;
    size_t length = strlen(answer->body);
    size_t n = size * count;
    size_t room = sizeof(answer->body) - 1 - length;
    memcpy(answer->body + length, bytes, n < room ? n : room);
    return n;
}

static void read_names(CURL *curl, struct client_answer *answer)
{
    struct curl_certinfo *info = NULL;
    if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info) != CURLE_OK || !info ||
        info->num_of_certs < 1)
        return;
    for (struct curl_slist *each = info->certinfo[0]; each; each = each->next)
        if (strncmp(each->data, "X509v3 Subject Alternative Name", 31) == 0)
            snprintf(answer->certificate_names, sizeof(answer->certificate_names), "%s",
                     each->data);
}

struct client_answer client_get(const char *url, const char *resolve, const char *authority,
                                bool keep)
{
    struct client_answer answer = {0};
    CURL *curl = keep && kept ? kept : curl_easy_init();
    struct curl_slist *addresses = resolve ? curl_slist_append(NULL, resolve) : NULL;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, addresses);
    curl_easy_setopt(curl, CURLOPT_CAINFO, authority);
    curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer.problem);
    if (curl_easy_perform(curl) == CURLE_OK) {
        long version = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.code);
        curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
        answer.version = version == CURL_HTTP_VERSION_2_0 ? 2 : 11;
        read_names(curl, &answer);
    }
    curl_easy_setopt(curl, CURLOPT_RESOLVE, NULL);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(addresses);
    if (keep)
        kept = curl;
    else
        curl_easy_cleanup(curl);
    return answer;
}

void client_forget(void)
{
    if (kept)
        curl_easy_cleanup(kept);
    kept = NULL;
}
