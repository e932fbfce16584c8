// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"

	driverpkg "github.com/go-sql-driver/mysql"
)

// noSuchTable is MySQL's number of that error.
const noSuchTable = 1146

// mysqlSchema is that of Tessera's driver (storage/mysql/schema.sql of v1.0.4, compatibility version 1), and our own tables.
var mysqlSchema = []string{
	"CREATE TABLE IF NOT EXISTS `Checkpoint` (`id` TINYINT UNSIGNED NOT NULL, `note` MEDIUMBLOB NOT NULL, `published_at` BIGINT NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `TreeState` (`id` TINYINT UNSIGNED NOT NULL, `size` BIGINT UNSIGNED NOT NULL, `root` TINYBLOB NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `Subtree` (`level` TINYINT UNSIGNED NOT NULL, `index` BIGINT UNSIGNED NOT NULL, `nodes` MEDIUMBLOB NOT NULL, PRIMARY KEY (`level`, `index`)) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `TiledLeaves` (`tile_index` BIGINT UNSIGNED NOT NULL, `size` SMALLINT UNSIGNED NOT NULL, `data` LONGBLOB NOT NULL, PRIMARY KEY (`tile_index`)) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `retention_statements` (`digest` BINARY(32) NOT NULL, `envelope` MEDIUMBLOB NOT NULL, PRIMARY KEY (`digest`)) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `retention_owner` (`id` TINYINT UNSIGNED NOT NULL, `owner` VARCHAR(64) NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB",
	// The last one, since it says that the others are there.
	"CREATE TABLE IF NOT EXISTS `Tessera` (`id` TINYINT UNSIGNED NOT NULL, `compatibilityVersion` BIGINT UNSIGNED NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB",
}

// prepare makes the tables, if they are not there, and becomes the owner. It refuses a server that may forget what it has
// committed.
func (b *mysqlBackend) prepare(ctx context.Context) error {
	var flush string
	if err := b.db.QueryRowContext(ctx, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").Scan(&flush); err != nil {
		return err
	}
	if flush != "1" {
		return fmt.Errorf("innodb_flush_log_at_trx_commit is %s, not 1: the server may lose entries that it has committed", flush)
	}
	if err := b.makeTables(ctx); err != nil {
		return err
	}
	_, err := b.db.ExecContext(ctx, "REPLACE INTO `retention_owner` (`id`, `owner`) VALUES (0, ?)", b.owner)
	return err
}

// makeTables needs no right to do so where they are there.
func (b *mysqlBackend) makeTables(ctx context.Context) error {
	var tables int
	err := b.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM `Tessera`").Scan(&tables)
	var answer *driverpkg.MySQLError
	switch {
	case err == nil && tables > 0:
		return nil
	case err != nil && (!errors.As(err, &answer) || answer.Number != noSuchTable):
		return err
	}
	for _, statement := range append(mysqlSchema, "INSERT IGNORE INTO `Tessera` (`id`, `compatibilityVersion`) VALUES (0, 1)") {
		if _, err := b.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
