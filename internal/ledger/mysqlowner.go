// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
)

// tell says why the backend is lost, to the first who asks.
func tell(lost chan<- error, err error) error {
	select {
	case lost <- err:
	default:
	}
	return err
}

// onceConnector connects once. Whoever needs the connection after that has lost it for good, and the lock that it held.
type onceConnector struct {
	driver.Connector
	used atomic.Bool
	lost chan<- error
}

// Connect fails from the second time on.
func (c *onceConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.used.Load() {
		return nil, tell(c.lost, errors.New("the connection that holds the lock of the ledger's database is lost"))
	}
	conn, err := c.Connector.Connect(ctx)
	if err == nil {
		c.used.Store(true)
	}
	return conn, err
}

// ownConnector makes connections whose transactions begin only for the owner of the database.
type ownConnector struct {
	driver.Connector
	owner string
	lost  chan<- error
}

// Connect returns an ownConn.
func (c *ownConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := conn.(wholeConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a connection of the type %T lacks something", conn), conn.Close())
	}
	return ownConn{whole, c}, nil
}

// wholeConn is all that a connection of the driver can do, lest database/sql think that it cannot.
type wholeConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type ownConn struct {
	wholeConn
	of *ownConnector
}

// BeginTx locks the owner's row for as long as the transaction takes. Tessera writes by transactions only.
func (c ownConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.wholeConn.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	owner, err := c.readOwner(ctx)
	if err == nil && owner != c.of.owner {
		err = tell(c.of.lost, errors.New("another process owns the ledger's database now"))
	}
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

func (c ownConn) readOwner(ctx context.Context) (string, error) {
	rows, err := c.QueryContext(ctx, "SELECT `owner` FROM `retention_owner` WHERE `id` = 0 LOCK IN SHARE MODE", nil)
	if err != nil {
		return "", err
	}
	value := make([]driver.Value, 1)
	err = errors.Join(rows.Next(value), rows.Close())
	switch owner := value[0].(type) {
	case []byte:
		return string(owner), err
	case string:
		return owner, err
	}
	return "", errors.Join(errors.New("the ledger's database has no owner"), err)
}
