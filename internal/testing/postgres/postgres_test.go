// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"dataretention.dev/retention-operator/internal/testing/postgres"
)

func TestMain(m *testing.M) { postgres.Run(m) }

func TestChinook(t *testing.T) {
	conn := postgres.Connect(t, postgres.Chinook(t, postgres.Get(t)))
	if got := postgres.Value[int](t, conn, "SELECT count(*) FROM invoice_line"); got != 2240 {
		t.Errorf("got %d invoice lines", got)
	}
}

func TestKill9LosesTheConnectionAndRestartKeepsTheData(t *testing.T) {
	srv := postgres.Get(t)
	dsn := srv.Database(t)
	conn := postgres.Connect(t, dsn)
	postgres.Exec(t, conn, "CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 100); CHECKPOINT")
	srv.Kill9(t)
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection outlived the server")
	}
	srv.Restart(t)
	if got := postgres.Value[int](t, postgres.Connect(t, dsn), "SELECT count(*) FROM t"); got != 100 {
		t.Errorf("got %d records", got)
	}
}

func TestConnectionFilesAndRole(t *testing.T) {
	srv := postgres.Get(t)
	name, dsn := srv.Role(t, srv.Database(t))
	dir := srv.Connection(t, dsn)
	got, err := os.ReadFile(filepath.Join(dir, "username"))
	if err != nil || string(got) != name {
		t.Errorf("got user %q, %v, want %q", got, err, name)
	}
	if got := postgres.Value[string](t, postgres.Connect(t, dsn), "SELECT current_user"); got != name {
		t.Errorf("got user %q, want %q", got, name)
	}
}
