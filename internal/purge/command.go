// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/purge/engine/postgresql"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	// maxPlanBytes is more than a ConfigMap can hold.
	maxPlanBytes = 2 << 20
	// stopAfter is how long a statement may go on after a SIGTERM before it is cancelled. The Pod has more time than that.
	stopAfter = 20 * time.Second
)

// Engines are the engines by the key that a Datastore's spec names them by.
var Engines = map[string]engine.Engine{"postgresql": postgresql.Engine{}}

// Command is `retention-operator purge`, which runs in the purge Pod.
func Command() *cobra.Command {
	var planPath, receiptPath string
	c := Config{Engines: Engines, Clock: time.Now}
	cmd := &cobra.Command{
		Use:    "purge",
		Short:  "Carry out one plan against one datastore (runs in the purge Pod)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := &counter{out: cmd.OutOrStdout()}
			c.Log, c.Logged = slog.New(slog.NewJSONHandler(log, nil)), log.written.Load
			code, err := c.execute(cmd.Context(), planPath, receiptPath)
			if err != nil {
				return err
			}
			if code != receipt.ExitDone {
				return &ExitError{Code: int(code)}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&planPath, "plan", "/etc/retention/plan/plan.json", "file with the plan")
	flags.StringVar(&c.Digest, "plan-digest", "", "digest that the plan must have, as sha256:<hexadecimal>")
	flags.StringVar(&c.ConnectionDir, "connection-dir", "/etc/retention/connection", "folder with the keys of the connection's Secret")
	flags.StringVar(&c.KeysDir, "keys-dir", "/etc/retention/keys", "folder with the keys for HMAC, each as <secret>/<key>")
	flags.StringVar(&c.SubjectsDir, "subjects-dir", "", "folder with the identifiers of the requests' persons, each as <number>/<type>")
	flags.StringVar(&c.HoldsDir, "holds-dir", "", "folder with the identifiers of the holds' persons, each as <number>/<type>")
	flags.StringVar(&c.CarriedDir, "carried-dir", "", "folder with identifiers that were opened for this Job")
	flags.StringVar(&receiptPath, "receipt", "/dev/termination-log", "file that the receipt is written to")
	flags.Int64Var(&c.ApprovedRecords, "approved-records", -1, "how many due records were approved beyond the guardrails; negative for none")
	return cmd
}

// ExitError carries an exit code to main.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

func (c Config) execute(ctx context.Context, planPath, receiptPath string) (code receipt.ExitCode, err error) {
	file, err := OpenReceiptFile(receiptPath)
	if err != nil {
		return receipt.ExitFailed, err
	}
	defer file.Close() // every write was checked
	c.Receipts = file
	plan, err := os.Open(planPath) // the path is the Job's
	if err == nil {
		defer plan.Close() // it was only read
		c.Plan, err = io.ReadAll(io.LimitReader(plan, maxPlanBytes))
	}
	if err != nil {
		c.Log.Error("The plan cannot be read", "error", err.Error())
	}
	ctx, stop := c.stopOnSignal(context.WithoutCancel(ctx)) // a signal must not tear a batch apart
	defer stop()
	defer func() {
		// A panic would end with exit code 2, which means a refused plan. Its text is dropped: it may hold a value.
		if p := recover(); p != nil {
			c.Log.Error("Panic")
			code, err = receipt.ExitFailed, nil
		}
	}()
	return Run(ctx, c), nil
}

// stopOnSignal lets the batch in hand end after a SIGTERM or an interrupt, and cancels it if that takes too long.
func (c *Config) stopOnSignal(ctx context.Context) (context.Context, func()) {
	c.Stopping = &atomic.Bool{}
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		c.Stopping.Store(true)
		c.Log.Info("Stopping after the batch in hand")
		select {
		case <-ctx.Done():
		case <-time.After(stopAfter):
			cancel()
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
