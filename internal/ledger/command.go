// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"dataretention.dev/retention-operator/internal/evidence"
)

// The files of --keys and --trust.
const (
	fileLogKey = "log.key"
	fileCert   = "tls.crt"
	fileKey    = "tls.key"
	fileTrust  = "keys.pem"
)

// server is what the command's flags say.
type server struct {
	driver, path, dsnFile        string
	listen, readListen, probes   string
	keys, trust                  string
	checkpointInterval, closeFor time.Duration
	log                          *slog.Logger
}

// Command is `retention-operator ledger`, which runs in a Pod of its own.
func Command() *cobra.Command {
	s := &server{}
	cmd := &cobra.Command{
		Use:    "ledger",
		Short:  "Keep the evidence ledger (runs in a Pod of its own)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.log = slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			klog.SetSlogLogger(s.log.With("library", "tessera"))
			return s.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.driver, "driver", DriverPOSIX, "where the ledger is kept: "+DriverPOSIX+" (a folder) or "+DriverMySQL+" (a MySQL or MariaDB database)")
	flags.StringVar(&s.path, "path", "/var/lib/retention-ledger", "folder of the "+DriverPOSIX+" driver")
	flags.StringVar(&s.dsnFile, "mysql-dsn-file", "", "file with the data source name of the "+DriverMySQL+" driver: user:password@tcp(host:3306)/database?tls=true")
	flags.StringVar(&s.listen, "listen", ":8443", "address for the managers, by mutual TLS")
	flags.StringVar(&s.readListen, "read-listen", "127.0.0.1:8082", "address for people, who may read only; empty for none")
	flags.StringVar(&s.probes, "health-listen", ":8081", "address of /healthz, /readyz and /metrics")
	flags.StringVar(&s.keys, "keys", "/etc/retention-ledger/keys", "folder with "+fileLogKey+" (note signer keys, the current one first), "+fileCert+" and "+fileKey)
	flags.StringVar(&s.trust, "trust", "/etc/retention-ledger/trust", "folder with "+fileTrust+", the public keys for statements")
	flags.DurationVar(&s.checkpointInterval, "checkpoint-interval", defaultCheckpointInterval, "how often the published checkpoint follows the log")
	flags.DurationVar(&s.closeFor, "close-timeout", 20*time.Second, "how long the end may take for appends that have begun")
	return cmd
}

// options reads the files. The keys for statements are read again whenever they are needed.
func (s *server) options() (Options, error) {
	o := Options{Driver: s.driver, Path: s.path, CheckpointInterval: s.checkpointInterval, Log: s.log, Keys: s.statementKeys}
	keys, err := os.ReadFile(filepath.Join(s.keys, fileLogKey))
	if err != nil {
		return o, fmt.Errorf("reading the ledger's key: %w", err)
	}
	o.SignerKeys = parseKeys(string(keys))
	if s.driver == DriverMySQL {
		if s.dsnFile == "" {
			return o, fmt.Errorf("the driver %s needs --mysql-dsn-file", DriverMySQL)
		}
		dsn, err := os.ReadFile(s.dsnFile)
		if err != nil {
			return o, fmt.Errorf("reading the data source name: %w", err)
		}
		o.DSN = strings.TrimSpace(string(dsn))
	}
	return o, nil
}

func (s *server) statementKeys() ([]ed25519.PublicKey, error) {
	file, err := os.ReadFile(filepath.Join(s.trust, fileTrust))
	if err != nil {
		return nil, err
	}
	trust, err := evidence.ParseTrust(file)
	if err != nil {
		return nil, err
	}
	return trust.Statement, nil
}

// awaitFiles waits until the manager has made the keys: Secret and ConfigMap appear in a Pod that runs.
func (s *server) awaitFiles(ctx context.Context) error {
	return retryLock(ctx, s.log, func() (string, error) {
		for _, name := range []string{
			filepath.Join(s.keys, fileLogKey), filepath.Join(s.keys, fileCert), filepath.Join(s.keys, fileKey), filepath.Join(s.trust, fileTrust),
		} {
			if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
				return "waiting for the keys, which the manager makes", nil
			} else if err != nil {
				return "", fmt.Errorf("looking for the keys: %w", err)
			}
		}
		return "", nil
	})
}

// run serves until ctx ends, the ledger cannot go on, or its keys change: then it ends, and is started again with them.
func (s *server) run(ctx context.Context) (err error) {
	health, err := s.startHealth(ctx)
	if err != nil {
		return err
	}
	defer health.stop()
	if err := s.awaitFiles(ctx); err != nil {
		return ended(ctx, err)
	}
	o, err := s.options()
	if err != nil {
		return err
	}
	l, err := Open(ctx, o)
	if err != nil {
		return ended(ctx, err)
	}
	serving, err := s.startServing(ctx, l)
	if err == nil {
		health.ready(l)
		select {
		case <-ctx.Done():
		case <-l.Failed():
			err = l.Failure()
		case <-s.keysChanged(ctx, o.SignerKeys):
			s.log.Info("the ledger's keys have changed; starting again with them")
		case err = <-serving.failed:
		}
		health.ready(nil)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.closeFor)
	defer cancel()
	serving.stop(closing)
	return errors.Join(err, l.Close(closing))
}

// ended is err, unless it came of the end that was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// keysChanged closes the channel it returns once the key file has other keys. One that is empty or missing is being written.
func (s *server) keysChanged(ctx context.Context, keys []string) <-chan struct{} {
	changed := make(chan struct{})
	go func() {
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			now, err := os.ReadFile(filepath.Join(s.keys, fileLogKey))
			if got := parseKeys(string(now)); err == nil && len(got) > 0 && strings.Join(got, "\n") != strings.Join(keys, "\n") {
				close(changed)
				return
			}
		}
	}()
	return changed
}
