#!/usr/bin/python3
"""Stands in for Grafana in tests: `grafana server --config=FILE --homepath=FOLDER`.

It reads the settings, the provisioning and the dashboards that it is given as Grafana documents
them, refuses what Grafana does not know, lets the environment override settings as Grafana does,
and answers the part of Grafana's HTTP interface that the tests use. It shows no pages.
"""

import configparser
import http.server
import json
import os
import pathlib
import socketserver
import sys
import urllib.error
import urllib.parse
import urllib.request

# From conf/defaults.ini of Grafana 9 to 12; preinstall_disabled is of 11 and later, and older
# ones do not look at keys that they do not know.
KEYS = {
    "paths": "data logs plugins provisioning temp_data_lifetime",
    "server": "protocol http_addr http_port domain root_url",
    "security": "disable_initial_admin_creation admin_user admin_password secret_key "
                "disable_gravatar",
    "dashboards": "default_home_dashboard_path min_refresh_interval",
    "auth": "disable_login_form disable_signout_menu",
    "auth.basic": "enabled",
    "auth.anonymous": "enabled org_name org_role hide_version",
    "users": "allow_sign_up allow_org_create",
    "analytics": "reporting_enabled check_for_updates check_for_plugin_updates "
                 "feedback_links_enabled",
    "news": "news_feed_enabled",
    "plugins": "preinstall_disabled plugin_admin_enabled public_key_retrieval_disabled",
    "snapshots": "external_enabled",
    "unified_alerting": "enabled",
    "live": "max_connections",
    "log": "mode level",
}
SOURCE_KEYS = {"name", "uid", "type", "access", "orgId", "url", "isDefault", "editable", "jsonData"}
PROVIDER_KEYS = {"name", "orgId", "type", "disableDeletion", "allowUiUpdates",
                 "updateIntervalSeconds", "options"}


def scalar(text):
    return json.loads(text) if text[:1] == '"' or text in ("true", "false") or text.isdigit() \
        else text


def read_block(lines, indent):
    """The YAML that is provisioned: maps, lists of maps, scalars; two blanks a level."""
    result = None
    while lines and len(lines[0]) - len(lines[0].lstrip()) == indent:
        line = lines[0].strip()
        if line.startswith("- "):
            result = result if result is not None else []
            lines[0] = " " * (indent + 2) + line[2:]
            result.append(read_block(lines, indent + 2))
            continue
        key, _, value = lines.pop(0).strip().partition(":")
        result = result if result is not None else {}
        assert key not in result, key
        if value.strip():
            result[key] = scalar(value.strip())
        else:
            result[key] = read_block(lines, len(lines[0]) - len(lines[0].lstrip()))
    return result


def read_yaml(path):
    return read_block([line for line in path.read_text().split("\n") if line.strip()], 0)


def read_settings(path):
    settings = configparser.ConfigParser(interpolation=None)
    with open(path) as file:
        settings.read_file(file)
    for section in settings.sections():
        for key in settings[section]:
            if key not in KEYS.get(section, "").split():
                sys.exit(f"there is no setting {key} in [{section}]")
            name = "GF_" + "_".join((section, key)).upper().replace(".", "_")
            if os.environ.get(name):
                settings[section][key] = os.environ[name]
    return settings


def read_arguments(arguments):
    if pathlib.Path(sys.argv[0]).name == "grafana" and arguments.pop(0) != "server":
        sys.exit("grafana has only one command here: server")
    given = dict(argument.split("=", 1) for argument in arguments)
    if set(given) != {"--config", "--homepath"}:
        sys.exit(f"these are not its arguments: {arguments}")
    assert (pathlib.Path(given["--homepath"]) / "conf" / "defaults.ini").exists()
    return given["--config"]


class Grafana:
    def __init__(self, settings):
        self.settings = settings
        paths = {key: pathlib.Path(value) for key, value in settings["paths"].items()}
        paths["logs"].mkdir(parents=True, exist_ok=True)
        (paths["data"] / "grafana.db").write_text("a database")
        self.sources, self.boards = {}, {}
        for path in sorted((paths["provisioning"] / "datasources").glob("*.yaml")):
            self.add_sources(read_yaml(path))
        for path in sorted((paths["provisioning"] / "dashboards").glob("*.yaml")):
            self.add_boards(read_yaml(path))
        home = json.loads(pathlib.Path(
            settings["dashboards"]["default_home_dashboard_path"]).read_text())
        assert home["uid"] in self.boards

    def add_sources(self, file):
        assert file["apiVersion"] == 1
        for source in file["datasources"]:
            assert set(source) <= SOURCE_KEYS and source["access"] == "proxy", source
            self.sources[source["uid"]] = source

    def add_boards(self, file):
        assert file["apiVersion"] == 1
        for provider in file["providers"]:
            assert set(provider) <= PROVIDER_KEYS and provider["type"] == "file", provider
            for path in sorted(pathlib.Path(provider["options"]["path"]).glob("*.json")):
                board = json.loads(path.read_text())
                assert board["uid"] not in self.boards
                self.boards[board["uid"]] = board

    def answer(self, path):
        if path == "/api/health":
            return 200, {"database": "ok", "version": "stand-in"}
        if path == "/api/org":
            is_open = self.settings["auth.anonymous"].getboolean("enabled")
            return (200, {"name": self.settings["auth.anonymous"]["org_name"],
                          "role": self.settings["auth.anonymous"]["org_role"]}) if is_open \
                else (401, {"message": "Unauthorized"})
        if path == "/login":
            is_closed = self.settings["auth"].getboolean("disable_login_form")
            return (404, {}) if is_closed else (200, {})
        kind, _, rest = path.removeprefix("/api/").partition("/uid/")
        uid, _, rest = rest.partition("/")
        if kind == "dashboards" and uid in self.boards:
            return 200, {"dashboard": self.boards[uid], "meta": {"provisioned": True}}
        if kind == "datasources/proxy" and uid in self.sources:
            return self.forward(f"{self.sources[uid]['url']}/{rest}")
        return 404, {"message": "Not found"}

    @staticmethod
    def forward(url):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as err:
            return err.code, json.load(err)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code, body = self.server.grafana.answer(self.path)
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        """Without asking for a name of its address, which nobody here can tell."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


if __name__ == "__main__":
    chosen = read_settings(read_arguments(sys.argv[1:]))
    where = chosen["server"]["http_addr"], int(chosen["server"]["http_port"])
    server = Server(where, Handler)
    server.grafana = Grafana(chosen)
    server.serve_forever()
