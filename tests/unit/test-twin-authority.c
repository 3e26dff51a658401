#include "base/memory.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "harness.h"
#include "twin/authority.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const shop_domains[] = {"shop.example", "www.shop.example"};
static const char *const other_domains[] = {"shop.example", "api.shop.example"};
#define DAY (24 * 3600 * 1000000LL)

static char folder[64];
static int64_t clock_offset;

static int64_t shifted_wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000LL + clock_offset;
}

static int64_t real_monotonic_clock(void)
{
    return 0;
}

static void real_random(void *ret_bytes, size_t size)
{
    CHECK(getentropy(ret_bytes, size) == 0);
}

static const struct world_ops shifted_world = {.wall_clock = shifted_wall_clock,
                                               .monotonic_clock = real_monotonic_clock,
                                               .random = real_random};

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/parley-authority-XXXXXX");
    CHECK(mkdtemp(folder));
}

static void remove_folder(void)
{
    static const char *const files[] = {"ca.crt", "ca.key", "shop.pem"};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    CHECK(rmdir(folder) == 0);
}

static struct authority_order order_shop(const char *const *domains, size_t n_domains)
{
    return (struct authority_order){
        .folder = folder, .file = "shop", .domains = domains, .n_domains = n_domains};
}

static mode_t mode_of(const char *name)
{
    char path[128];
    struct stat found;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CHECK(stat(path, &found) == 0);
    return found.st_mode & 0777;
}

/* Verifies the bundle as a client would that trusts ca.crt and asks for host. */
static unsigned int verdict_for(const char *host)
{
    gnutls_x509_trust_list_t trust;
    gnutls_x509_crt_t chain[3];
    unsigned int n = 3, verdict = 1;
    gnutls_datum_t pem = {0};
    char path[128];
    CHECK(gnutls_x509_trust_list_init(&trust, 0) >= 0);
    snprintf(path, sizeof(path), "%s/ca.crt", folder);
    CHECK(gnutls_x509_trust_list_add_trust_file(trust, path, NULL, GNUTLS_X509_FMT_PEM, 0, 0) == 1);
    snprintf(path, sizeof(path), "%s/shop.pem", folder);
    CHECK(gnutls_load_file(path, &pem) >= 0);
    CHECK(gnutls_x509_crt_list_import(chain, &n, &pem, GNUTLS_X509_FMT_PEM, 0) == 2);
    gnutls_typed_vdata_st asked[] = {
        {GNUTLS_DT_DNS_HOSTNAME, (unsigned char *)(uintptr_t)host, 0},
        {GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER, 0}};
    CHECK(gnutls_x509_trust_list_verify_crt2(trust, chain, n, asked, 2, 0, &verdict, NULL) >= 0);
    for (unsigned int i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_x509_trust_list_deinit(trust, 1);
    gnutls_free(pem.data);
    return verdict;
}

TEST(a_client_that_trusts_the_authority_accepts_every_domain_and_no_other)
{
    make_folder();
    struct authority *authority = NULL;
    struct authority_issued issued = {0};
    struct authority_order order = order_shop(shop_domains, 2);
    struct error err = {0};
    CHECK(authority_open(folder, &authority, &err) == 0);
    CHECK(authority_provide(authority, &order, &issued, &err) == 0);
    CHECK(issued.is_new);
    CHECK(verdict_for("shop.example") == 0);
    CHECK(verdict_for("www.shop.example") == 0);
    CHECK(verdict_for("api.shop.example") != 0);
    CHECK(issued.not_after - world_wall_clock() > 89 * DAY);
    CHECK(issued.not_after - world_wall_clock() < 91 * DAY);
    CHECK(strlen(issued.serial) == 32);
    authority_issued_done(&issued);
    authority_free(authority);
    remove_folder();
}

TEST(keys_are_readable_by_their_owner_only)
{
    make_folder();
    struct authority *authority = NULL;
    struct authority_issued issued = {0};
    struct authority_order order = order_shop(shop_domains, 2);
    CHECK(authority_open(folder, &authority, NULL) == 0);
    CHECK(authority_provide(authority, &order, &issued, NULL) == 0);
    CHECK(mode_of("ca.key") == 0600);
    CHECK(mode_of("shop.pem") == 0600);
    authority_issued_done(&issued);
    authority_free(authority);
    remove_folder();
}

TEST(the_serial_of_a_bundle_is_that_of_its_certificate)
{
    make_folder();
    struct authority *authority = NULL;
    struct authority_issued issued = {0};
    struct authority_order order = order_shop(shop_domains, 2);
    CLEANUP(mem_freep) char *serial = NULL;
    CLEANUP(mem_freep) char *key = string_format("%s/ca.key", folder);
    CHECK(authority_open(folder, &authority, NULL) == 0);
    CHECK(authority_provide(authority, &order, &issued, NULL) == 0);
    CHECK(authority_read_serial(key, &serial, NULL) == -ERROR_CORRUPT);
    CHECK(authority_read_serial(issued.bundle, &serial, NULL) == 0);
    CHECK_TEXT(serial, issued.serial);
    authority_issued_done(&issued);
    authority_free(authority);
    remove_folder();
}

/* Opens the folder anew each time, as a restarted supervisor does. */
static bool is_reissued_for(const char *const *domains, size_t n_domains)
{
    struct authority *authority = NULL;
    struct authority_issued issued = {0};
    struct authority_order order = order_shop(domains, n_domains);
    CHECK(authority_open(folder, &authority, NULL) == 0);
    CHECK(authority_provide(authority, &order, &issued, NULL) == 0);
    bool reissued = issued.is_new;
    authority_issued_done(&issued);
    authority_free(authority);
    return reissued;
}

TEST(a_certificate_is_reissued_only_when_its_domains_change)
{
    make_folder();
    static const char *const reversed[] = {"www.shop.example", "SHOP.example"};
    CHECK(is_reissued_for(shop_domains, 2));
    CHECK(!is_reissued_for(shop_domains, 2));
    CHECK(!is_reissued_for(reversed, 2));
    CHECK(is_reissued_for(other_domains, 2));
    CHECK(verdict_for("api.shop.example") == 0);
    CHECK(verdict_for("www.shop.example") != 0);
    CHECK(is_reissued_for(other_domains, 1));
    CHECK(!is_reissued_for(other_domains, 1));
    remove_folder();
}

TEST(an_authority_that_was_just_made_knows_its_own_certificates)
{
    make_folder();
    struct authority *authority = NULL;
    struct authority_order order = order_shop(shop_domains, 2);
    CHECK(authority_open(folder, &authority, NULL) == 0);
    for (int turn = 0; turn < 3; turn++) {
        struct authority_issued issued = {0};
        CHECK(authority_provide(authority, &order, &issued, NULL) == 0);
        CHECK(issued.is_new == (turn == 0));
        authority_issued_done(&issued);
    }
    authority_free(authority);
    remove_folder();
}

static int n_handed_over, n_in_place;

static int note_hand_over(const char *path, struct error *err)
{
    (void)err;
    n_handed_over++;
    n_in_place += text_ends_with(path, "/shop.pem");
    return 0;
}

TEST(new_files_are_handed_over_before_they_take_their_place_and_only_then)
{
    make_folder();
    struct authority *authority = NULL;
    struct authority_order order = order_shop(shop_domains, 2);
    order.hand_over = note_hand_over;
    CHECK(authority_open(folder, &authority, NULL) == 0);
    for (int turn = 0; turn < 3; turn++) {
        struct authority_issued issued = {0};
        CHECK(authority_provide(authority, &order, &issued, NULL) == 0);
        CHECK(n_handed_over == 1 && n_in_place == 0);
        authority_issued_done(&issued);
    }
    authority_free(authority);
    remove_folder();
}

TEST(a_certificate_is_reissued_when_fewer_than_30_days_are_left)
{
    make_folder();
    clock_offset = 0;
    world_replace(&shifted_world);
    CHECK(is_reissued_for(shop_domains, 2));
    clock_offset = 59 * DAY;
    CHECK(!is_reissued_for(shop_domains, 2));
    clock_offset = 61 * DAY;
    CHECK(is_reissued_for(shop_domains, 2));
    CHECK(!is_reissued_for(shop_domains, 2));
    world_replace(NULL);
    remove_folder();
}

TEST(a_damaged_certificate_is_replaced_and_a_damaged_authority_is_not)
{
    make_folder();
    CHECK(is_reissued_for(shop_domains, 2));
    char *bundle = string_format("%s/shop.pem", folder);
    CHECK(world_write_file(bundle, "nonsense", 8, 0600, false, NULL) == 0);
    CHECK(is_reissued_for(shop_domains, 2));
    mem_free(bundle);
    char *key = string_format("%s/ca.key", folder);
    struct authority *authority = NULL;
    struct error err = {0};
    CHECK(world_write_file(key, "nonsense", 8, 0600, false, NULL) == 0);
    CHECK(authority_open(folder, &authority, &err) == -ERROR_CORRUPT);
    CHECK(unlink(key) == 0);
    CHECK(authority_open(folder, &authority, &err) == -ERROR_CORRUPT);
    CHECK(strstr(err.message, "trust that one anew"));
    CHECK(authority == NULL);
    error_done(&err);
    mem_free(key);
    remove_folder();
}

TEST(a_removed_certificate_leaves_only_the_authority)
{
    make_folder();
    CHECK(is_reissued_for(shop_domains, 2));
    struct authority *authority = NULL;
    CHECK(authority_open(folder, &authority, NULL) == 0);
    CHECK(authority_withdraw(folder, "shop", NULL) == 0);
    CHECK(authority_withdraw(folder, "shop", NULL) == 0);
    char path[128];
    snprintf(path, sizeof(path), "%s/shop.pem", folder);
    CHECK(access(path, F_OK) < 0);
    CHECK(access(authority_file(authority), F_OK) == 0);
    authority_free(authority);
    remove_folder();
}

TEST(what_is_no_domain_is_refused_by_name)
{
    static const struct {
        const char *text;
        bool is_domain;
    } cases[] = {{"shop.example", true},
                 {"*.shop.example", true},
                 {"localhost", true},
                 {"", false},
                 {"*.", false},
                 {"a..b", false},
                 {".a", false},
                 {"a.", false},
                 {"-a.b", false},
                 {"a-.b", false},
                 {"a b", false},
                 {"b\xc3\xbc"
                  "cher.example",
                  false},
                 {"a/b", false},
                 {"x.*.b", false},
                 {"a\nb", false}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK(authority_is_domain(cases[i].text) == cases[i].is_domain);
    make_folder();
    static const char *const bad[] = {"shop.example", "not a domain"};
    struct authority *authority = NULL;
    struct authority_issued issued = {0};
    struct authority_order order = order_shop(bad, 2);
    struct error err = {0};
    CHECK(authority_open(folder, &authority, NULL) == 0);
    CHECK(authority_provide(authority, &order, &issued, &err) == -ERROR_INVALID);
    CHECK(strstr(err.message, "\"not a domain\""));
    error_done(&err);
    order.n_domains = 0;
    CHECK(authority_provide(authority, &order, &issued, NULL) == -ERROR_INVALID);
    authority_free(authority);
    remove_folder();
}
