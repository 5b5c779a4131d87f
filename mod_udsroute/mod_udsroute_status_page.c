/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_page.h"
#include "mod_udsroute/mod_udsroute_status_rows.h"
#include "mod_udsroute/udr_figure.h"

#include <apr_escape.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

/* Made from the .css and .js beside this file. */
static const char style[] =
#include "mod_udsroute/mod_udsroute_status_page.css.lines"
    ;
static const char script[] =
#include "mod_udsroute/mod_udsroute_status_page.js.lines"
    ;

/* Two bars, one of them shorter, in a colour that goes with light and dark. */
#define ICON                                                                                                           \
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%235b7be0' "     \
    "d='M2 3h12v4H2zM2 9h8v4H2z'/%3E%3C/svg%3E"

/* What is summed up at the top. */
typedef struct sums_t {
    int members;
    int down;
    int kept; /* from requests, by operator or configuration */
    apr_uint64_t busy;
    apr_uint64_t waiting;
    double rate;
} sums_t;

static const udr_view_balancer_t *balancer_at(const udr_view_t *view, int i)
{
    return APR_ARRAY_IDX(view->balancers, i, const udr_view_balancer_t *);
}

static const udr_view_member_t *member_at(const udr_view_balancer_t *balancer, int i)
{
    return APR_ARRAY_IDX(balancer->members, i, const udr_view_member_t *);
}

static void sum_up(sums_t *sums, const udr_view_balancer_t *balancer)
{
    for (int i = 0; i < balancer->members->nelts; i++) {
        const udr_view_member_t *member = member_at(balancer, i);
        const udr_history_point_t *now = &member->history[UDR_HISTORY_STEPS - 1];
        sums->members++;
        sums->down += member->state == UDR_VIEW_DOWN;
        sums->kept += !member->takes_all;
        sums->busy += member->counts.busy;
        sums->waiting += member->counts.waiting;
        sums->rate += now->is_known ? now->rate : 0;
    }
}

/* In a few words, for the title as well. */
static const char *judge(const sums_t *sums, apr_pool_t *p)
{
    if (sums->down) {
        return apr_psprintf(p, "%d of %d down", sums->down, sums->members);
    }
    return sums->kept      ? apr_psprintf(p, "%d of %d out of use", sums->kept, sums->members)
           : sums->members ? "No member is down"
                           : "No members";
}

/* --- the head --- */

/* What of the page may run: what bears this number, another in each response. "": nothing. */
static const char *make_nonce(apr_pool_t *p)
{
    unsigned char bytes[16];
    return apr_generate_random_bytes(bytes, sizeof bytes) == APR_SUCCESS ? apr_pescape_hex(p, bytes, sizeof bytes, 0)
                                                                         : "";
}

/* No resource but this very page, nothing inline that is not ours, in nobody's frame. */
static void set_policy(request_rec *r, const char *nonce)
{
    const char *ours = *nonce ? apr_pstrcat(r->pool, "'nonce-", nonce, "'", NULL) : "'none'";
    const char *forms = udr_dir_config(r)->status_actions == 1 ? "'self'" : "'none'";
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   apr_pstrcat(r->pool, "default-src 'none'; style-src ", ours, "; script-src ", ours,
                               "; img-src data:; connect-src 'self'; form-action ", forms,
                               "; base-uri 'none'; frame-ancestors 'none'", NULL));
}

static void put_head(request_rec *r, const char *title, const char *nonce)
{
    ap_rvputs(r,
              "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
              title, "</title>\n<link rel=\"icon\" href=\"", ICON, "\">\n<style nonce=\"", nonce, "\">\n", style,
              "</style>\n<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n</head>\n", NULL);
}

/* more: beside the figure, smaller; NULL: nothing. */
static void put_tile(request_rec *r, const char *name, const char *value, const char *more, bool is_alarm)
{
    ap_rvputs(r, "<div class=\"tile", is_alarm ? " alarm" : "", "\"><dt>", name, "</dt><dd>", value, NULL);
    if (more) {
        ap_rvputs(r, " <small>", more, "</small>", NULL);
    }
    ap_rputs("</dd></div>\n", r);
}

static void put_server(request_rec *r, const udr_view_t *view, const sums_t *sums)
{
    apr_pool_t *p = r->pool;
    ap_rputs("<dl class=\"tiles\">\n", r);
    put_tile(r, "Members", apr_itoa(p, sums->members), apr_psprintf(p, "%d down", sums->down), sums->down > 0);
    put_tile(r, "Requests/s", udr_figure_rate(sums->rate, p), NULL, false);
    put_tile(r, "In flight", udr_figure_count(sums->busy, p),
             apr_pstrcat(p, udr_figure_count(sums->waiting, p), " queued", NULL), false);
    put_tile(r, "Parked", udr_figure_count(view->parked, p), NULL, false);
    put_tile(r, "Tunnels", udr_figure_count(view->tunnels, p), NULL, false);
    put_tile(r, "Up for", udr_figure_age(view->uptime_s, p), NULL, false);
    ap_rputs("</dl>\n", r);
}

/* --- the sections --- */

static void put_balancer(request_rec *r, const udr_view_balancer_t *balancer, int number)
{
    udr_rows_scale_t scale = UDR_ROWS_SCALE_LEAST;
    const char *host = balancer->host ? ap_escape_html(r->pool, balancer->host) : NULL;
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_rows_measure(&scale, member_at(balancer, i));
    }
    ap_rprintf(r, "<section class=\"card\" id=\"balancer%d\">\n<div class=\"head\"><h2>%s</h2><p class=\"dim\">",
               number, ap_escape_html(r->pool, balancer->name));
    ap_rvputs(r, ap_escape_html(r->pool, balancer->method), host ? ", of " : "", host ? host : "", "</p></div>\n",
              NULL);
    udr_rows_begin(r, apr_pstrcat(r->pool, "Members of the balancer ", balancer->unique, NULL));
    for (int i = 0; i < balancer->members->nelts; i++) {
        udr_rows_member(r, member_at(balancer, i), &scale);
    }
    udr_rows_end(r, &scale);
    ap_rputs("</section>\n", r);
}

/* Those of plain routes have a member each: one table for all. */
static void put_plain(request_rec *r, const udr_view_t *view)
{
    udr_rows_scale_t scale = UDR_ROWS_SCALE_LEAST;
    int count = 0;
    for (int i = 0; i < view->balancers->nelts; i++) {
        if (balancer_at(view, i)->is_plain) {
            udr_rows_measure(&scale, member_at(balancer_at(view, i), 0));
            count++;
        }
    }
    if (!count) {
        return;
    }
    ap_rputs("<section class=\"card\" id=\"plain\">\n<div class=\"head\"><h2>Single sockets</h2>"
             "<p class=\"dim\">of routes without a balancer</p></div>\n",
             r);
    udr_rows_begin(r, "Sockets of routes without a balancer");
    for (int i = 0; i < view->balancers->nelts; i++) {
        if (balancer_at(view, i)->is_plain) {
            udr_rows_member(r, member_at(balancer_at(view, i), 0), &scale);
        }
    }
    udr_rows_end(r, &scale);
    ap_rputs("</section>\n", r);
}

static void put_routes(request_rec *r, const udr_view_t *view)
{
    if (view->routes->nelts > 0) {
        ap_rputs("<section class=\"card\" id=\"routes\">\n<div class=\"head\"><h2>Routes</h2>"
                 "<p class=\"dim\">the first that matches is taken</p></div>\n",
                 r);
        udr_rows_routes(r, view);
        ap_rputs("</section>\n", r);
    }
}

static void put_sections(request_rec *r, const udr_view_t *view)
{
    for (int i = 0; i < view->balancers->nelts; i++) {
        if (!balancer_at(view, i)->is_plain) {
            put_balancer(r, balancer_at(view, i), i);
        }
    }
    put_plain(r, view);
    put_routes(r, view);
}

void udr_status_page_write(request_rec *r, const udr_view_t *view)
{
    sums_t sums = {.members = 0};
    const char *nonce = make_nonce(r->pool);
    for (int i = 0; i < view->balancers->nelts; i++) {
        sum_up(&sums, balancer_at(view, i));
    }
    const char *verdict = judge(&sums, r->pool);
    const char *title = apr_pstrcat(r->pool, verdict, " \xe2\x80\x93 mod_udsroute", NULL);
    set_policy(r, nonce);
    put_head(r, title, nonce);
    ap_rvputs(r, "<body>\n<header><div><h1>", ap_escape_html(r->pool, ap_get_server_name(r)),
              "</h1><p class=\"dim\">mod_udsroute ", view->version, ", MPM ", view->mpm,
              "</p></div>\n<p class=\"live\"><span id=\"live\" role=\"status\"></span>"
              "<button type=\"button\" id=\"pause\" hidden>Pause</button></p></header>\n"
              "<main data-title=\"",
              title, "\">\n<p class=\"hidden\" role=\"status\">", verdict, "</p>\n", NULL);
    put_server(r, view, &sums);
    put_sections(r, view);
    ap_rvputs(
        r,
        "</main>\n<footer><a href=\"?format=json\">JSON</a><a href=\"?format=prometheus\">Prometheus</a></footer>\n"
        "<script nonce=\"",
        nonce, "\">\n", script, "</script>\n</body>\n</html>\n", NULL);
}
