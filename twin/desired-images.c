/* Images that an engine has built: what instances of them run, by the image's own configuration. */
#include "twin/desiring.h"

#include "base/text.h"

#include <string.h>

enum { WORDS_LIMIT = 1000 };

static char is_there;

/* The texts of a list; what is none of that is a fault. More are appended to what is there. */
static int read_words(struct desiring *desiring, const struct value *config, const char *field,
                      const char **words, size_t *n_words)
{
    const struct value *list = value_get(config, field);
    for (size_t i = 0; !value_is_null(list) && i < value_count(list); i++) {
        if (value_kind(value_at(list, i)) != VALUE_STRING || *n_words == WORDS_LIMIT)
            return desiring_fault(desiring, ERROR_INVALID, "%s of its image is not understood",
                                  field);
        words[(*n_words)++] = desiring_text(desiring, value_text(value_at(list, i)));
    }
    return 0;
}

static const char *read_text(struct desiring *desiring, const struct value *map, const char *field)
{
    const char *text = value_get_text(map, field);
    return desiring_text(desiring, text ? text : "");
}

static void add_names(struct desiring *desiring, struct machine_image *image)
{
    const struct value *tags = value_get(desiring_spec(desiring), "tags");
    size_t n_tags = value_is_null(tags) ? 0 : value_count(tags);
    image->names = machine_memory(desiring->machine, n_tags + 1, sizeof(*image->names));
    image->names[image->n_names++] = image->name;
    for (size_t i = 0; i < n_tags; i++)
        if (value_kind(value_at(tags, i)) == VALUE_STRING)
            image->names[image->n_names++] = desiring_text(desiring, value_text(value_at(tags, i)));
}

static int read_built(struct desiring *desiring, const struct value *built, const char *name)
{
    struct machine *machine = desiring->machine;
    struct machine_image *image = machine_memory(machine, 1, sizeof(*image));
    const struct value *config = value_get(built, "config");
    const char *folder = value_get_text(built, "folder");
    if (value_is_null(config) || value_kind(config) != VALUE_MAP || !folder ||
        strchr(folder, '/') || folder[0] == '.' || !value_get_text(built, "id"))
        return desiring_fault(desiring, ERROR_INVALID, "what was built of it is not understood");
    image->name = desiring_text(desiring, name);
    image->resource = desiring_text(desiring, resource_uid(desiring->resource));
    image->id = read_text(desiring, built, "id");
    image->folder = read_text(desiring, built, "folder");
    image->user = read_text(desiring, config, "User");
    image->working_folder = read_text(desiring, config, "WorkingDir");
    image->arguments = machine_memory(machine, WORDS_LIMIT, sizeof(*image->arguments));
    image->environment = machine_memory(machine, WORDS_LIMIT, sizeof(*image->environment));
    int r = read_words(desiring, config, "Entrypoint", image->arguments, &image->n_arguments);
    if (r == 0)
        r = read_words(desiring, config, "Cmd", image->arguments, &image->n_arguments);
    if (r == 0)
        r = read_words(desiring, config, "Env", image->environment, &image->n_environment);
    if (r < 0)
        return r;
    add_names(desiring, image);
    MACHINE_ADD(machine, machine->images, machine->n_images, image);
    return 0;
}

int desire_image(struct desiring *desiring)
{
    const struct value *built = value_get(desiring->resource, "built");
    const char *name = NULL;
    int r = spec_text(desiring, desiring_spec(desiring), "image", "", &name);
    if (r == 0 && built && !value_get(built, "missing"))
        r = read_built(desiring, built, name);
    if (r == 0)
        desiring_built(desiring, &is_there);
    return r;
}

/* "web" is "web:latest". */
static bool is_same_name(const char *a, const char *b)
{
    static const char latest[] = ":latest";
    size_t a_length = strlen(a), b_length = strlen(b), extra = strlen(latest);
    if (a_length > extra && text_ends_with(a, latest))
        a_length -= extra;
    if (b_length > extra && text_ends_with(b, latest))
        b_length -= extra;
    return a_length == b_length && strncmp(a, b, a_length) == 0;
}

int desiring_find_image(struct desiring *desiring, const char *name,
                        const struct machine_image **ret_image)
{
    const struct machine *machine = desiring->machine;
    *ret_image = NULL;
    for (size_t i = 0; i < machine->n_images && !*ret_image; i++)
        for (size_t k = 0; k < machine->images[i]->n_names; k++)
            if (is_same_name(machine->images[i]->names[k], name))
                *ret_image = machine->images[i];
    if (*ret_image && (*ret_image)->n_arguments == 0)
        return desiring_fault(desiring, ERROR_INVALID,
                              "the image %s has no command; give its Dockerfile a CMD or an "
                              "ENTRYPOINT",
                              name);
    return 0;
}
