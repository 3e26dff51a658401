/* Reads the settings of an account of the fake. */
#include "provider/fake/settings.h"

#include "base/text.h"
#include "catalog/literal.h"

#include <string.h>

#define TOKEN_US (INT64_C(3600) * 1000000)

void fake_settings_done(struct fake_settings *settings)
{
    for (size_t i = 0; i < settings->n_exceptions; i++)
        mem_free(settings->exceptions[i].name);
    mem_free(settings->exceptions);
    mem_free(settings->account);
    value_unref(settings->credential);
    value_unref(settings->defaults);
    *settings = (struct fake_settings){0};
}

bool fake_fits_name(const char *name, const char *address)
{
    size_t length = strlen(name);
    return strncmp(name, address, length) == 0 &&
           (address[length] == '\0' || address[length] == '[');
}

int fake_read_duration(const char *key, const struct value *value, int64_t *ret_us,
                       struct error *err)
{
    const char *text = value_kind(value) == VALUE_STRING ? value_text(value) : "";
    CLEANUP(value_unrefp) struct value *duration = literal_duration(text);
    if (!duration)
        return error_set(err, ERROR_INVALID, "%s: \"%s\" is no duration such as 20ms or 2s", key,
                         text);
    *ret_us = (int64_t)(literal_duration_seconds(value_text(duration)) * 1e6 + 0.5);
    return 0;
}

static bool *find_flag(struct fake_character *character, const char *key)
{
    if (text_equal(key, "asynchronous"))
        return &character->is_asynchronous;
    if (text_equal(key, "staged"))
        return &character->is_staged;
    return text_equal(key, "normalises") ? &character->is_normalising : NULL;
}

static int read_character(const char *key, const struct value *value,
                          struct fake_character *character, struct error *err)
{
    if (text_equal(key, "latency"))
        return fake_read_duration(key, value, &character->latency_us, err);
    if (text_equal(key, "settling"))
        return fake_read_duration(key, value, &character->settling_us, err);
    bool *flag = find_flag(character, key);
    if (!flag || value_kind(value) != VALUE_BOOL)
        return error_set(
            err, ERROR_INVALID,
            "the driver fake has no such setting \"%s\"; it has account, credential, latency, "
            "asynchronous, staged, normalises (true or false), settling, tokens, "
            "defaults, resources and fail",
            key);
    *flag = value_to_bool(value);
    return 0;
}

static int read_exception(const char *name, const struct value *value,
                          struct fake_settings *settings, struct error *err)
{
    struct fake_exception *exception = &settings->exceptions[settings->n_exceptions++];
    *exception = (struct fake_exception){string_copy(name), settings->character};
    if (value_kind(value) != VALUE_MAP)
        return error_set(err, ERROR_INVALID, "resources: %s: must be a map", name);
    for (size_t i = 0; i < value_count(value); i++) {
        int r =
            read_character(value_key_at(value, i), value_at(value, i), &exception->character, err);
        if (r < 0)
            return error_wrap(err, r, "resources: %s", name);
    }
    return 0;
}

/* Read last: what it does not say is as for the whole account. */
static int read_exceptions(const struct value *value, struct fake_settings *settings,
                           struct error *err)
{
    if (!value)
        return 0;
    if (value_kind(value) != VALUE_MAP)
        return error_set(err, ERROR_INVALID, "resources: must be a map of names");
    settings->exceptions = NEW_ARRAY(struct fake_exception, value_count(value));
    for (size_t i = 0; i < value_count(value); i++) {
        int r = read_exception(value_key_at(value, i), value_at(value, i), settings, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_setting(const char *key, const struct value *value, struct fake_settings *settings,
                        struct error *err)
{
    if (text_equal(key, "fail") || text_equal(key, "resources"))
        return 0;
    if (text_equal(key, "tokens"))
        return fake_read_duration(key, value, &settings->token_us, err);
    if (text_equal(key, "defaults") && value_kind(value) == VALUE_MAP) {
        settings->defaults = value_ref((struct value *)value);
        return 0;
    }
    bool is_text = value_kind(value) == VALUE_STRING || value_kind(value) == VALUE_SECRET;
    if (text_equal(key, "credential") && is_text) {
        settings->credential = value_ref((struct value *)value);
        return 0;
    }
    if (!text_equal(key, "account") || value_kind(value) != VALUE_STRING)
        return read_character(key, value, &settings->character, err);
    mem_free(settings->account);
    settings->account = string_copy(value_text(value));
    return 0;
}

int fake_settings_read(const struct value *config, struct fake_settings *settings,
                       struct error *err)
{
    settings->token_us = TOKEN_US;
    for (size_t i = 0; config && i < value_count(config); i++) {
        int r = read_setting(value_key_at(config, i), value_at(config, i), settings, err);
        if (r < 0)
            return r;
    }
    return read_exceptions(value_get(config, "resources"), settings, err);
}

const struct fake_character *fake_settings_find(const struct fake_settings *settings,
                                                const char *address)
{
    for (size_t i = 0; i < settings->n_exceptions; i++)
        if (fake_fits_name(settings->exceptions[i].name, address))
            return &settings->exceptions[i].character;
    return &settings->character;
}
