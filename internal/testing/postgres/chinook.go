// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// Chinook makes a database with the Chinook sample (a music shop's customers and invoices) and returns its owner's DSN.
func Chinook(tb testing.TB, srv *Server) string {
	tb.Helper()
	script, err := chinook()
	if err != nil {
		tb.Fatal(err)
	}
	dsn := srv.Database(tb)
	Exec(tb, Connect(tb, dsn), script)
	return dsn
}

// chinook reads the script, without the lines that make a database and connect to it.
func chinook() (string, error) {
	root, err := fixture.Root()
	if err != nil {
		return "", err
	}
	f, err := os.Open(filepath.Join(root, "testdata/chinook/Chinook_PostgreSql.sql.gz"))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	r, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	var script strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "DROP DATABASE") && !strings.HasPrefix(line, "CREATE DATABASE") && !strings.HasPrefix(line, `\c `) {
			script.WriteString(line)
		}
	}
	return script.String(), nil
}
