#include "harness.h"
#include "twin/image-answer.h"
#include "twin/image-run.h"
#include "unit/twin-manifest.h"

#include "base/text.h"

/* --- What an engine answers to a build --- */

static struct strbuf told;

static void keep(void *argument, const char *line)
{
    (void)argument;
    strbuf_addf(&told, "%s\n", line);
}

/* In pieces of that size, as a network may cut it. */
static int read_answer(struct image_answer *answer, const char *text, size_t piece,
                       struct error *err)
{
    size_t size = strlen(text);
    int r = 0;
    strbuf_clear(&told);
    answer->tell = keep;
    for (size_t at = 0; r == 0 && at < size; at += piece)
        r = image_answer_add(answer, text + at, size - at < piece ? size - at : piece, err);
    return r < 0 ? r : image_answer_end(answer, err);
}

static const char built[] =
    "{\"stream\":\"Step 1/2 : FROM scratch\"}\r\n{\"stream\":\"\\n\"}\r\n"
    "{\"stream\":\" ---\\u003e \\n\"}\r\n"
    "{\"stream\":\"Step 2/2 : COPY a /\"}\r\n{\"stream\":\"\\n\"}\r\n"
    "{\"aux\":{\"ID\":\"sha256:abc\"}}\r\n{\"stream\":\"Successfully built abc\\n\"}\r\n";

TEST(a_build_tells_its_steps_and_names_its_image_however_it_is_cut)
{
    for (size_t piece = 1; piece < sizeof(built); piece++) {
        struct image_answer answer = {0};
        CHECK(read_answer(&answer, built, piece, NULL) == 0);
        CHECK_TEXT(answer.id, "sha256:abc");
        CHECK_TEXT(strbuf_text(&told), "Step 1/2 : FROM scratch\nStep 2/2 : COPY a /\n");
        image_answer_done(&answer);
    }
}

TEST(a_build_that_fails_shows_its_step_and_the_last_lines_of_it)
{
    struct image_answer answer = {0};
    struct error err = {0};
    CHECK(read_answer(&answer,
                      "{\"stream\":\"Step 1/2 : FROM scratch\\n\"}\n{\"stream\":\"earlier\\n\"}\n"
                      "{\"stream\":\"Step 2/2 : RUN make\\n\"}\n"
                      "{\"stream\":\"\\u001b[31mno rule\\u001b[0m\\nstop\\n\"}\n"
                      "{\"errorDetail\":{\"code\":2,\"message\":\"x\"},\"error\":\"returned 2\"}\n",
                      7, &err) == -ERROR_INVALID);
    CHECK_TEXT(error_message(&err), "the build failed: returned 2\n  Step 2/2 : RUN make\n"
                                    "    ?[31mno rule?[0m\n    stop");
    error_done(&err);
    image_answer_done(&answer);
}

TEST(an_answer_that_is_none_or_has_no_end_is_refused)
{
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"", -ERROR_INVALID},
        {"{\"stream\":\"a", -ERROR_UNAVAILABLE},
        {"<html>\n", -ERROR_UNAVAILABLE},
        {"[]\n", -ERROR_UNAVAILABLE},
        {"{\"aux\":[]}\n", -ERROR_INVALID},
        {"{\"aux\":{\"ID\":\"sha256:a\"}}\n{\"error\":\"late\"}\n", -ERROR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct image_answer answer = {0};
        CHECK(read_answer(&answer, cases[i].text, 5, NULL) == cases[i].r);
        image_answer_done(&answer);
    }
    strbuf_done(&told);
}

/* --- Who runs it --- */

TEST(a_user_is_found_by_number_and_by_the_names_of_the_image)
{
    static const char users[] = "root:x:0:0::/:/bin/sh\nweb:x:33:44::/:/bin/sh\nbroken\n";
    static const char groups[] = "root:x:0:\nwww:x:55:\n";
    static const struct {
        const char *text;
        bool is_found;
        uid_t user;
        gid_t group;
    } cases[] = {
        {"", true, 0, 0},
        {"web", true, 33, 44},
        {"web:www", true, 33, 55},
        {"33", true, 33, 44},
        {"1234", true, 1234, 0},
        {"1234:77", true, 1234, 77},
        {"1234:www", true, 1234, 55},
        {"nobody", false, 0, 0},
        {"web:nobody", false, 0, 0},
        {"broken", false, 0, 0},
        {"99999999999", false, 0, 0},
        {"root", true, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        uid_t user = 1;
        gid_t group = 1;
        CHECK(image_find_user(cases[i].text, users, groups, &user, &group) == cases[i].is_found);
        if (cases[i].is_found)
            CHECK(user == cases[i].user && group == cases[i].group);
    }
    uid_t user;
    gid_t group;
    CHECK(!image_find_user("web", NULL, NULL, &user, &group));
    CHECK(image_find_user("7", NULL, NULL, &user, &group) && user == 7 && group == 0);
    static const char *const roots[] = {"root", "0", "0:0", "root:root", "0:root", ":root", ""};
    for (size_t i = 0; i < ARRAY_LENGTH(roots); i++) {
        user = group = 1;
        CHECK(image_find_user(roots[i], NULL, NULL, &user, &group) && user == 0 && group == 0);
    }
    /* What an image says of its own root holds, broken or not. */
    CHECK(image_find_user("root", "root:x:5:6::/:/sh\n", NULL, &user, &group) && user == 5);
    CHECK(image_find_user("root:root", "root\n", "root\n", &user, &group) && user == 0 &&
          group == 0);
    CHECK(!image_find_user("rooty", NULL, NULL, &user, &group));
    CHECK(!image_find_user("7:www", NULL, NULL, &user, &group));
}

/* --- What a service runs --- */

#define BUILT(name, image, more, config)                                                        \
    "{\"uid\":\"" name "\",\"name\":\"" name "\",\"type\":\"docker:image:build\",\"spec\":{"    \
    "\"image\":\"" image "\"" more "},\"built\":{\"id\":\"sha256:a\",\"engine\":\"unix:///e\"," \
    "\"folder\":\"i.a\",\"config\":{" config "}}}"
#define STACK(image)                                                                           \
    "{\"uid\":\"s\",\"name\":\"s\",\"type\":\"docker:compose:stack\",\"spec\":{\"services\":{" \
    "\"web\":{\"image\":\"" image "\",\"hosts\":\"h\",\"port\":80}}},\"references\":{"         \
    "\"services.web.hosts\":[\"h\"]}}"
#define HOSTS VLAN("net", "10.1.0.0/24") "," INSTANCES("h", "net", "1")

static const struct machine_image *image_of(const char *json, const char *want_fault)
{
    static struct machine *machine;
    CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
    struct problems faults = {0};
    machine_unref(machine);
    add_resources(manifest, json);
    machine = compute(manifest, &faults);
    if (want_fault) {
        CHECK(faults.n_items == 1);
        CHECK_TEXT(error_message(&faults.items[0].err), want_fault);
    } else {
        CHECK(faults.n_items == 0);
    }
    problems_done(&faults);
    const struct machine_image *image =
        machine->n_workloads > 0 ? machine->workloads[0]->built : NULL;
    if (strcmp(json, "[]") == 0) {
        machine_unref(machine);
        machine = NULL;
    }
    return image;
}

TEST(a_service_runs_the_image_of_its_name_or_of_one_of_its_tags)
{
    const struct machine_image *image =
        image_of("[" HOSTS "," BUILT("i", "web:1", "",
                                     "\"Entrypoint\":[\"a\"],\"Cmd\":[\"b\",\"c\"],"
                                     "\"Env\":[\"X=1\"],\"User\":\"u\"") "," STACK("web:1") "]",
                 NULL);
    CHECK(image && image->n_arguments == 3 && image->n_environment == 1);
    CHECK_TEXT(image->arguments[0], "a");
    CHECK_TEXT(image->arguments[2], "c");
    CHECK_TEXT(image->user, "u");
    CHECK_TEXT(image->working_folder, "");
    CHECK(image_of(
        "[" HOSTS "," BUILT("i", "web", "", "\"Cmd\":[\"b\"]") "," STACK("web:latest") "]", NULL));
    CHECK(image_of("[" HOSTS "," BUILT("i", "web:1", ",\"tags\":[\"web:2\"]",
                                       "\"Cmd\":[\"b\"]") "," STACK("web:2") "]",
                   NULL));
    CHECK(!image_of("[" HOSTS "," BUILT("i", "web:1", "", "\"Cmd\":[\"b\"]") "," STACK("web:2") "]",
                    NULL));
}

TEST(an_image_without_a_command_or_with_a_folder_that_leads_elsewhere_is_a_fault)
{
    image_of("[" HOSTS "," BUILT("i", "web:1", "", "") "," STACK("web:1") "]",
             "s: the image web:1 has no command; give its Dockerfile a CMD or an ENTRYPOINT");
    image_of(
        "[{\"uid\":\"i\",\"name\":\"i\",\"type\":\"docker:image:build\",\"spec\":{\"image\":\"web\"},"
        "\"built\":{\"id\":\"a\",\"folder\":\"../other\",\"config\":{}}}]",
        "i: what was built of it is not understood");
    image_of("[]", NULL);
}
