/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_udsroute/mod_udsroute_status_rows.h"
#include "mod_udsroute/mod_udsroute_status_nonce.h"
#include "mod_udsroute/udr_figure.h"
#include "mod_udsroute/udr_plot.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include <math.h>
#include <string.h>

#define PLOT_HEIGHT 24

/* What the two figures of a latency are; half of the requests took up to the first, nine of ten up to the other. */
#define LATENCY "Latency p50 \xc2\xb7 p90"

static bool has_forms(const request_rec *r)
{
    return udr_dir_config(r)->status_actions == 1;
}

static const char *escape(const request_rec *r, const char *text)
{
    return ap_escape_html(r->pool, text);
}

/* --- cells --- */

/* What a socket is called: the end of its path. */
static const char *short_name(const udr_view_member_t *member)
{
    const char *slash = strrchr(member->socket, '/');
    const char *colon = strchr(member->socket, ':');
    return slash && slash[1] ? slash + 1 : colon ? colon + 1 : member->socket;
}

/* A line of it may end behind the bar. */
static const char *escape_target(const request_rec *r, const char *text)
{
    const char *bar = strchr(text, '|');
    return bar ? apr_pstrcat(r->pool, escape(r, apr_pstrmemdup(r->pool, text, (apr_size_t)(bar + 1 - text))), "<wbr>",
                             escape(r, bar + 1), NULL)
               : escape(r, text);
}

static void put_name(request_rec *r, const udr_view_member_t *member)
{
    ap_rvputs(r, "<th scope=\"row\" role=\"rowheader\"><span class=\"name\">", escape(r, short_name(member)),
              "</span><span class=\"more\">", escape_target(r, member->name), "</span>", NULL);
    if (member->route || member->lbset) {
        ap_rputs("<span class=\"more\">", r);
        if (member->route) {
            ap_rvputs(r, "route ", escape(r, member->route), member->lbset ? ", " : "", NULL);
        }
        if (member->lbset) {
            ap_rvputs(r, "set ", udr_figure_count(member->lbset, r->pool), NULL);
        }
        ap_rputs("</span>", r);
    }
    ap_rputs("</th>\n", r);
}

static void put_checks(request_rec *r, const udr_view_health_t *health)
{
    if (strcmp(health->method, "NONE") == 0) {
        ap_rputs("<span class=\"more\">never checked</span>", r);
    } else if (health->last_check == 0) {
        ap_rvputs(r, "<span class=\"more\">", health->method, ": not checked yet</span>", NULL);
    } else {
        apr_time_t ago = apr_time_now() - health->last_check;
        ap_rvputs(r, "<span class=\"more\">checked ",
                  udr_figure_age(ago > 0 ? (apr_uint64_t)apr_time_sec(ago) : 0, r->pool), " ago</span>", NULL);
    }
}

static void put_state(request_rec *r, const udr_view_member_t *member)
{
    const udr_view_health_t *health = &member->health;
    const char *word = udr_view_word(member->state);
    bool is_down = health->verdict == UDR_VIEW_DOWN;
    ap_rvputs(r, "<td role=\"cell\" data-label=\"State\"><span class=\"state ", word, "\">", word, "</span>", NULL);
    if (is_down && member->state != UDR_VIEW_DOWN) {
        ap_rputs("<span class=\"more bad\">and down</span>", r);
    }
    put_checks(r, health);
    if (health->last_error) {
        ap_rvputs(r, "<span class=\"more", is_down ? " bad\">" : "\">last error: ", escape(r, health->last_error),
                  "</span>", NULL);
    }
    ap_rputs("</td>\n", r);
}

static void put_in_flight(request_rec *r, const udr_view_member_t *member)
{
    apr_pool_t *p = r->pool;
    ap_rvputs(r, "<td class=\"figure\" role=\"cell\" data-label=\"In flight\">",
              udr_figure_count(member->counts.busy, p), NULL);
    if (member->limit) {
        ap_rvputs(r, " <span class=\"dim\">of ", udr_figure_count(member->limit, p), "</span>", NULL);
    }
    ap_rvputs(r, "<span class=\"more\">", udr_figure_count(member->counts.waiting, p), " queued</span>", NULL);
    if (member->backlog.known && member->backlog.current) {
        ap_rvputs(r, "<span class=\"more\">", udr_figure_count(member->backlog.current, p), " of ",
                  udr_figure_count(member->backlog.maximum, p), " in its backlog</span>", NULL);
    }
    ap_rputs("</td>\n", r);
}

/* --- plots --- */

void udr_rows_measure(udr_rows_scale_t *scale, const udr_view_member_t *member)
{
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        const udr_history_point_t *point = &member->history[i];
        if (point->is_known && point->rate > scale->rate) {
            scale->rate = point->rate;
        }
        if (point->is_known && point->p50) {
            scale->lowest = scale->lowest && scale->lowest < point->p50 ? scale->lowest : point->p50;
            scale->most = point->p90 > scale->most ? point->p90 : scale->most;
        }
    }
}

/* Latencies are drawn by their logarithms: a few slow requests don't make a flat line of all others. A doubling is as
 * high wherever it is; the bottom is half the lowest, and there is room for eight times the bottom at least. */
static double height_of(const udr_rows_scale_t *scale, apr_uint32_t us)
{
    double bottom = (double)scale->lowest / 2;
    return bottom > 0 ? log((double)us / bottom) : 0;
}

static double height_of_all(const udr_rows_scale_t *scale)
{
    double needed = height_of(scale, scale->most);
    return needed > log(8) ? needed : log(8);
}

static void open_plot(request_rec *r, const char *title)
{
    ap_rprintf(r,
               "<svg class=\"plot\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\"><title>%s</title>",
               UDR_HISTORY_STEPS, PLOT_HEIGHT, title);
}

static void put_path(request_rec *r, const char *class_name, const double *values, double top, udr_plot_form_t form)
{
    const udr_plot_t plot = {.values = values, .count = UDR_HISTORY_STEPS, .top = top, .height = PLOT_HEIGHT};
    const char *path = udr_plot_path(&plot, form, r->pool);
    if (*path) {
        ap_rvputs(r, "<path class=\"", class_name, "\" d=\"", path, "\"/>", NULL);
    }
}

static void put_rate(request_rec *r, const udr_view_member_t *member, const udr_rows_scale_t *scale)
{
    double rates[UDR_HISTORY_STEPS];
    double failed[UDR_HISTORY_STEPS];
    double most = 0;
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        const udr_history_point_t *point = &member->history[i];
        rates[i] = point->is_known ? point->rate : -1;
        failed[i] = point->is_known && point->failed > 0 ? point->failed : -1;
        most = rates[i] > most ? rates[i] : most;
    }
    const udr_history_point_t *now = &member->history[UDR_HISTORY_STEPS - 1];
    const char *figure = now->is_known ? udr_figure_rate(now->rate, r->pool) : "\xe2\x80\x93";
    ap_rvputs(r, "<td role=\"cell\" data-label=\"Requests/s\">", figure, NULL);
    open_plot(r, apr_pstrcat(r->pool, "Requests per second in the last five minutes: now ", figure, ", at most ",
                             udr_figure_rate(most, r->pool), NULL));
    put_path(r, "area", rates, scale->rate, UDR_PLOT_AREA);
    put_path(r, "line", rates, scale->rate, UDR_PLOT_LINE);
    put_path(r, "failed", failed, scale->rate, UDR_PLOT_AREA);
    ap_rvputs(r, "</svg><span class=\"more\">", udr_figure_count(member->elected, r->pool), " in all", NULL);
    if (member->failed) {
        ap_rvputs(r, ", <span class=\"bad\">", udr_figure_count(member->failed, r->pool), " failed</span>", NULL);
    }
    if (member->retried) {
        ap_rvputs(r, ", ", udr_figure_count(member->retried, r->pool), " retried", NULL);
    }
    if (member->held) {
        ap_rvputs(r, ", ", udr_figure_count(member->held, r->pool), " held", NULL);
    }
    ap_rputs("</span></td>\n", r);
}

/* Times of which there are none leave a gap. */
static void put_latency(request_rec *r, const udr_view_member_t *member, const udr_rows_scale_t *scale)
{
    double half[UDR_HISTORY_STEPS];
    double most[UDR_HISTORY_STEPS];
    for (int i = 0; i < UDR_HISTORY_STEPS; i++) {
        const udr_history_point_t *point = &member->history[i];
        half[i] = point->is_known && point->p50 ? height_of(scale, point->p50) : -1;
        most[i] = point->is_known && point->p90 ? height_of(scale, point->p90) : -1;
    }
    const udr_history_point_t *now = &member->history[UDR_HISTORY_STEPS - 1];
    bool is_known = now->is_known && now->p50;
    const char *figure = is_known ? udr_figure_time(now->p50, r->pool) : "\xe2\x80\x93";
    const char *high = is_known ? udr_figure_time(now->p90, r->pool) : "\xe2\x80\x93";
    ap_rvputs(r, "<td role=\"cell\" data-label=\"" LATENCY "\">", figure, NULL);
    if (is_known) {
        ap_rvputs(r, " <span class=\"dim\">\xc2\xb7 ", high, "</span>", NULL);
    }
    open_plot(r, apr_pstrcat(r->pool, "Latency in the last five minutes: half of the requests now took up to ", figure,
                             ", nine of ten up to ", high, NULL));
    put_path(r, "area", most, height_of_all(scale), UDR_PLOT_AREA);
    put_path(r, "line", half, height_of_all(scale), UDR_PLOT_LINE);
    ap_rputs("</svg>", r);
    if (member->latency.count) {
        ap_rvputs(r, "<span class=\"more\">p99 ", udr_figure_time(member->latency.p99, r->pool), "</span>", NULL);
    }
    ap_rputs("</td>\n", r);
}

static void put_traffic(request_rec *r, const udr_view_member_t *member)
{
    apr_pool_t *p = r->pool;
    ap_rvputs(r, "<td class=\"figure\" role=\"cell\" data-label=\"Connections\">",
              udr_figure_count(member->counts.open, p), " <span class=\"dim\">open, ",
              udr_figure_count(member->counts.idle, p), " idle</span><span class=\"more\">",
              udr_figure_bytes(member->bytes_in, p), " in</span><span class=\"more\">",
              udr_figure_bytes(member->bytes_out, p), " out</span></td>\n", NULL);
}

/* --- what changes something --- */

static void open_form(request_rec *r, const udr_view_member_t *member)
{
    ap_rvputs(r, "<form method=\"post\"><input type=\"hidden\" name=\"nonce\" value=\"", udr_status_nonce(),
              "\"><input type=\"hidden\" name=\"member\" value=\"", member->identity, "\">", NULL);
}

static void put_weight(request_rec *r, const udr_view_member_t *member)
{
    ap_rvputs(r, "<td role=\"cell\" data-label=\"Weight\">", udr_figure_hundredths(member->weight, r->pool), NULL);
    if (member->weight != member->configured_weight) {
        ap_rvputs(r, "<span class=\"more\">configured: ", udr_figure_hundredths(member->configured_weight, r->pool),
                  "</span>", NULL);
    }
    if (member->agent_percent != 100) {
        ap_rprintf(r, "<span class=\"more\">it asks for %u %%</span>", member->agent_percent);
    }
    ap_rputs("</td>\n", r);
}

/* Without a number: what the configuration says. */
static void put_weight_form(request_rec *r, const udr_view_member_t *member)
{
    open_form(r, member);
    ap_rvputs(r, "<input type=\"number\" name=\"weight\" min=\"1\" max=\"100\" step=\"0.01\" placeholder=\"",
              udr_figure_hundredths(member->configured_weight, r->pool), "\" value=\"",
              udr_figure_hundredths(member->weight, r->pool), "\" aria-label=\"Weight of ",
              escape(r, short_name(member)), "\"><button name=\"action\" value=\"weight\">Set weight</button></form>",
              NULL);
}

static void put_button(request_rec *r, const udr_view_member_t *member, const char *action, const char *label)
{
    ap_rvputs(r, "<button name=\"action\" value=\"", action, "\" aria-label=\"", label, " ",
              escape(r, short_name(member)), "\">", label, "</button>", NULL);
}

/* A member that takes requests can be kept from them; else it can be given them again. */
static void put_actions(request_rec *r, const udr_view_member_t *member)
{
    ap_rputs("<td class=\"actions\" role=\"cell\" data-label=\"Actions\">", r);
    open_form(r, member);
    if (!member->takes_all) {
        put_button(r, member, "enable", "Enable");
    }
    if (member->state != UDR_VIEW_DRAINING) {
        put_button(r, member, "drain", "Drain");
    }
    if (member->state != UDR_VIEW_DISABLED) {
        put_button(r, member, "disable", "Disable");
    }
    if (member->state != UDR_VIEW_STOPPED) {
        put_button(r, member, "stop", "Stop");
    }
    ap_rputs("</form>", r);
    put_weight_form(r, member);
    ap_rputs("</td>\n", r);
}

/* --- tables --- */

/* The roles are those that the elements have anyhow, but for browsers to which a table that is laid out otherwise (on a
 * phone) is none. */
void udr_rows_begin(request_rec *r, const char *caption)
{
    static const struct {
        const char *name;
        const char *width; /* a class of the style */
    } columns[] = {
        {"Member", "of-member"},   {"State", "of-state"},     {"In flight", "of-flight"},
        {"Requests/s", "of-plot"}, {LATENCY, "of-plot"},      {"Connections", "of-connections"},
        {"Weight", "of-weight"},   {"Actions", "of-actions"},
    };
    size_t count = sizeof columns / sizeof *columns - !has_forms(r);
    ap_rvputs(r, "<table class=\"members\" role=\"table\"><caption class=\"hidden\">", escape(r, caption),
              "</caption>\n<thead role=\"rowgroup\"><tr role=\"row\">", NULL);
    for (size_t i = 0; i < count; i++) {
        ap_rvputs(r, "<th class=\"", columns[i].width, "\" scope=\"col\" role=\"columnheader\">", columns[i].name,
                  "</th>", NULL);
    }
    ap_rputs("</tr></thead>\n<tbody role=\"rowgroup\">\n", r);
}

void udr_rows_end(request_rec *r, const udr_rows_scale_t *scale)
{
    ap_rvputs(r, "</tbody></table>\n<p class=\"note\">Plots: the last five minutes, up to ",
              udr_figure_rate(scale->rate, r->pool), " requests/s", NULL);
    if (scale->lowest) {
        ap_rvputs(r, ", latency from ", udr_figure_time(scale->lowest, r->pool), " to ",
                  udr_figure_time(scale->most, r->pool), " (logarithmic)", NULL);
    }
    ap_rputs("</p>\n", r);
}

void udr_rows_member(request_rec *r, const udr_view_member_t *member, const udr_rows_scale_t *scale)
{
    ap_rvputs(r, "<tr role=\"row\" id=\"m", member->identity, "\">\n", NULL);
    put_name(r, member);
    put_state(r, member);
    put_in_flight(r, member);
    put_rate(r, member, scale);
    put_latency(r, member, scale);
    put_traffic(r, member);
    put_weight(r, member);
    if (has_forms(r)) {
        put_actions(r, member);
    }
    ap_rputs("</tr>\n", r);
}

void udr_rows_routes(request_rec *r, const udr_view_t *view)
{
    ap_rputs("<table class=\"routes\"><caption class=\"hidden\">Routes</caption>\n"
             "<thead><tr><th scope=\"col\">Path</th><th scope=\"col\">Target</th></tr></thead>\n<tbody>\n",
             r);
    for (int i = 0; i < view->routes->nelts; i++) {
        const udr_view_route_t *route = &APR_ARRAY_IDX(view->routes, i, const udr_view_route_t);
        bool is_routed = strcmp(route->target, "!") != 0;
        ap_rvputs(r, "<tr><th scope=\"row\">", escape(r, route->path), NULL);
        if (route->host) {
            ap_rvputs(r, "<span class=\"more\">", escape(r, route->host), "</span>", NULL);
        }
        ap_rvputs(r, "</th><td>", is_routed ? escape(r, route->target) : "<span class=\"dim\">not routed</span>",
                  "</td></tr>\n", NULL);
    }
    ap_rputs("</tbody></table>\n", r);
}
