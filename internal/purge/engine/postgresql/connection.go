// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// maxValue bounds one file of the connection.
const maxValue = 64 << 10

// readConfig reads a connection from the files of a Secret. It understands the keys of the Service Binding specification
// (host, port, database, username, password, uri, sslmode, ca.crt) and those that CloudNativePG writes (dbname, user, uri).
// host and the keys beside it win over uri. TLS is verified against ca.crt if that is there (sslmode verify-full), else
// used if the server offers it (prefer); sslmode overrides both. An *Error with SecretIncomplete names the key.
func readConfig(dir string) (*pgx.ConnConfig, error) {
	secret := func(keys ...string) (string, error) {
		for _, key := range keys {
			b, err := os.ReadFile(filepath.Join(dir, key)) // the directory is given by the Job
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil || len(b) > maxValue:
				return "", engine.Fail(receipt.SecretIncomplete, key)
			}
			if v := strings.TrimRight(string(b), "\r\n"); v != "" {
				return v, nil
			}
		}
		return "", nil
	}
	values := map[string]string{}
	for name, keys := range map[string][]string{
		"host": {"host"}, "port": {"port"}, "database": {"database", "dbname"}, "user": {"username", "user"},
		"password": {"password"}, "uri": {"uri"}, "sslmode": {"sslmode"}, "ca": {"ca.crt"},
	} {
		v, err := secret(keys...)
		if err != nil {
			return nil, err
		}
		values[name] = v
	}
	if values["host"] == "" && values["uri"] == "" {
		return nil, engine.Fail(receipt.SecretIncomplete, "host or uri")
	}
	if values["host"] != "" {
		for _, key := range []string{"database", "user"} {
			if values[key] == "" {
				return nil, engine.Fail(receipt.SecretIncomplete, map[string]string{"database": "database", "user": "username"}[key])
			}
		}
	}
	uri, err := connectionURI(values)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(uri)
	if err != nil { // its text holds the password
		return nil, engine.Fail(receipt.SecretIncomplete, "uri, port or sslmode")
	}
	if values["ca"] != "" {
		if err := trust(config, values["ca"]); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// connectionURI puts the parts together, or adds sslmode to the URI that was given.
func connectionURI(values map[string]string) (string, error) {
	mode := values["sslmode"]
	if values["host"] == "" {
		u, err := url.Parse(values["uri"])
		if err != nil {
			return "", engine.Fail(receipt.SecretIncomplete, "uri")
		}
		query := u.Query()
		if mode != "" {
			query.Set("sslmode", mode)
		} else if query.Get("sslmode") == "" {
			query.Set("sslmode", defaultMode(values))
		}
		u.RawQuery = query.Encode()
		return u.String(), nil
	}
	if mode == "" {
		mode = defaultMode(values)
	}
	port := values["port"]
	if port == "" {
		port = "5432"
	}
	u := url.URL{Scheme: "postgresql", Path: "/" + values["database"], User: url.UserPassword(values["user"], values["password"])}
	query := url.Values{"sslmode": {mode}}
	if strings.HasPrefix(values["host"], "/") { // a Unix socket
		query.Set("host", values["host"])
		query.Set("port", port)
	} else {
		u.Host = net.JoinHostPort(values["host"], port)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func defaultMode(values map[string]string) string {
	if values["ca"] != "" {
		return "verify-full"
	}
	return "prefer"
}

// trust makes ca the only authority that the connection believes.
func trust(config *pgx.ConnConfig, ca string) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return engine.Fail(receipt.SecretIncomplete, "ca.crt")
	}
	set := func(t *tls.Config) {
		if t != nil {
			t.RootCAs = pool
		}
	}
	set(config.TLSConfig)
	for _, f := range config.Fallbacks {
		set(f.TLSConfig)
	}
	return nil
}

// prepareConfig sets what every connection of ours has.
func prepareConfig(config *pgx.ConnConfig, in engine.Input) {
	limits := in.Plan.Limits
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	for name, value := range map[string]string{
		"application_name": "retention-operator",
		"timezone":         "UTC",
		// A policy that would hide records from us is an error, not a smaller count.
		"row_security":                        "off",
		"lock_timeout":                        milliseconds(limits.LockTimeoutMilliseconds),
		"statement_timeout":                   milliseconds(limits.StatementTimeoutMilliseconds),
		"idle_in_transaction_session_timeout": "60000",
		"client_min_messages":                 "error",
		"default_transaction_isolation":       "read committed",
		"default_transaction_read_only":       "off",
		// What we count as deleted must not come back after a crash.
		"synchronous_commit": "on",
		// A batch is a small part of a big table: each is planned for its own part, and compiling it does not pay.
		"plan_cache_mode": "force_custom_plan",
		"jit":             "off",
	} {
		config.RuntimeParams[name] = value
	}
	config.ConnectTimeout = 10 * time.Second
	config.OnNotice = nil // a notice may print a value
}
