// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/mysql"
)

const (
	// lockSQL names the lock after the database, since locks belong to the server. Names have at most 64 characters.
	lockSQL = "SELECT COALESCE(GET_LOCK(CONCAT('retention-ledger/', LEFT(SHA2(DATABASE(), 256), 40)), 0), 0)"
	// idleSeconds is after how many seconds the server lets go of a client that has vanished, and of its lock. One that lives
	// does something every keepAlive.
	idleSeconds = "60"
	keepAlive   = 5 * time.Second
	// Bounds of a connection, where the data source name has none.
	dialTimeout = 10 * time.Second
	ioTimeout   = 30 * time.Second
	connections = 8
)

// mysqlBackend keeps a log in a database.
//
// Two things see to it that there is one writer. A lock (GET_LOCK), which a connection of its own holds as long as it lives,
// makes the next process wait. And each transaction begins by looking who owns the database: whoever gets the lock becomes the
// owner, which waits for the transactions of the owner before and ends all that would follow.
type mysqlBackend struct {
	*mysql.Storage
	db, lock *sql.DB
	owner    string
	lost     chan error
	stop     context.CancelFunc
}

func openMySQL(ctx context.Context, dsn string, log *slog.Logger) (_ *mysqlBackend, err error) {
	config, err := mysqlConfig(dsn, log)
	if err != nil {
		return nil, err
	}
	connector, err := driverpkg.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("the data source name cannot be used: %w", err)
	}
	b := &mysqlBackend{owner: rand.Text(), lost: make(chan error, 1), stop: func() {}}
	once := &onceConnector{Connector: connector, lost: b.lost}
	b.lock = sql.OpenDB(once)
	b.lock.SetMaxOpenConns(1)
	b.db = sql.OpenDB(&ownConnector{Connector: connector, owner: b.owner, lost: b.lost})
	b.db.SetMaxOpenConns(connections)
	b.db.SetMaxIdleConns(connections)
	defer func() {
		if err != nil {
			_ = b.Close()
		}
	}()
	if err := retryLock(ctx, log, b.tryLock(ctx, once)); err != nil {
		return nil, fmt.Errorf("locking the ledger's database: %w", err)
	}
	if err := b.prepare(ctx); err != nil {
		return nil, fmt.Errorf("preparing the ledger's database: %w", err)
	}
	if b.Storage, err = mysql.New(ctx, b.db); err != nil {
		return nil, fmt.Errorf("opening the ledger's database: %w", err)
	}
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	go b.keepLock(alive)
	return b, nil
}

func mysqlConfig(dsn string, log *slog.Logger) (*driverpkg.Config, error) {
	if dsn == "" {
		return nil, errors.New("the mysql driver needs a data source name")
	}
	config, err := driverpkg.ParseDSN(dsn)
	if err != nil {
		return nil, errors.New("the data source name cannot be read: it is user:password@tcp(host:port)/database?parameters") // no reason: it might show the password
	}
	if config.DBName == "" {
		return nil, errors.New("the data source name has no database")
	}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["wait_timeout"] = idleSeconds
	if config.Timeout == 0 {
		config.Timeout = dialTimeout
	}
	if config.ReadTimeout == 0 {
		config.ReadTimeout = ioTimeout
	}
	if config.WriteTimeout == 0 {
		config.WriteTimeout = ioTimeout
	}
	config.Logger = mysqlLogger{log}
	return config, nil
}

// tryLock returns a function for retryLock. A database that does not answer at first is waited for, as another holder is.
func (b *mysqlBackend) tryLock(ctx context.Context, once *onceConnector) func() (string, error) {
	return func() (string, error) {
		var got bool
		err := b.lock.QueryRowContext(ctx, lockSQL).Scan(&got)
		switch {
		case err != nil && !once.used.Load() && ctx.Err() == nil:
			return "the ledger's database does not answer; waiting: " + err.Error(), nil
		case err != nil:
			return "", err
		case !got:
			return "another process has the ledger's database locked; waiting until it ends", nil
		}
		return "", nil
	}
}

// keepLock uses the connection that holds the lock, so that both sides notice when it is lost.
func (b *mysqlBackend) keepLock(ctx context.Context) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = b.lock.PingContext(ctx) // the connector tells
		}
	}
}

func (b *mysqlBackend) logDriver(context.Context) (tessera.Driver, error) { return b.Storage, nil }

// treeState waits for a transaction that nobody has an answer of: afterwards it is certain whether it was committed.
func (b *mysqlBackend) treeState(ctx context.Context) (size uint64, root []byte, err error) {
	err = b.db.QueryRowContext(ctx, "SELECT `size`, `root` FROM `TreeState` WHERE `id` = 0 LOCK IN SHARE MODE").Scan(&size, &root)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, b.mustBeNew(ctx)
	}
	return size, root, err
}

// mustBeNew refuses a database that has entries but no state: Tessera would begin a new log on top of it.
func (b *mysqlBackend) mustBeNew(ctx context.Context) error {
	var rows int64
	err := b.db.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM `Checkpoint`) + (SELECT COUNT(*) FROM `TiledLeaves`) + (SELECT COUNT(*) FROM `Subtree`)").Scan(&rows)
	if err == nil && rows > 0 {
		err = errors.New("there are entries, but the table TreeState is empty: part of the ledger is missing")
	}
	return err
}

func (b *mysqlBackend) whenLost() <-chan error { return b.lost }

// Close closes all connections, that which holds the lock last.
func (b *mysqlBackend) Close() error {
	b.stop()
	return errors.Join(b.db.Close(), b.lock.Close())
}

func (b *mysqlBackend) putStatement(ctx context.Context, d digest, envelope []byte) error {
	_, err := b.db.ExecContext(ctx, "REPLACE INTO `retention_statements` (`digest`, `envelope`) VALUES (?, ?)", d[:], envelope)
	return err
}

func (b *mysqlBackend) statement(ctx context.Context, d digest) (envelope []byte, err error) {
	err = b.db.QueryRowContext(ctx, "SELECT `envelope` FROM `retention_statements` WHERE `digest` = ?", d[:]).Scan(&envelope)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fs.ErrNotExist
	}
	return envelope, err
}

func (b *mysqlBackend) removeStatement(ctx context.Context, d digest) error {
	_, err := b.db.ExecContext(ctx, "DELETE FROM `retention_statements` WHERE `digest` = ?", d[:])
	return err
}

func (b *mysqlBackend) statements(ctx context.Context) (map[digest]struct{}, error) {
	rows, err := b.db.QueryContext(ctx, "SELECT `digest` FROM `retention_statements`")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[digest]struct{}{}
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		if len(raw) == len(digest{}) {
			all[digest(raw)] = struct{}{}
		}
	}
	return all, rows.Err()
}

// mysqlLogger puts what the driver says among our own lines.
type mysqlLogger struct{ log *slog.Logger }

// Print has the type that the driver wants.
func (l mysqlLogger) Print(v ...any) { l.log.Warn("the database driver says: " + fmt.Sprint(v...)) }
