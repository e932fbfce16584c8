// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Config is all that a process works with.
type Config struct {
	// Plan is the encoded Plan, Digest what it must hash to.
	Plan   []byte
	Digest string
	// ConnectionDir and KeysDir hold the files of Secrets.
	ConnectionDir, KeysDir string
	// SubjectsDir and HoldsDir hold the identifiers of the Plan's requests and holds, each in the folder of its number, by
	// type. CarriedDir holds those that were opened for this Job, as <number>.given, <number>.derived and h<number>.given.
	SubjectsDir, HoldsDir, CarriedDir string
	// ApprovedRecords is how many due records a person has approved beyond the guardrails; negative is none.
	ApprovedRecords int64
	Engines         map[string]engine.Engine
	Receipts        ReceiptWriter
	Clock           func() time.Time
	Log             *slog.Logger
	// Logged tells how many bytes the log has; nil if nobody counts.
	Logged func() int64
	// Stopping says that the process was asked to end after the batch in hand.
	Stopping *atomic.Bool
}

// runner is one process at work.
type runner struct {
	Config
	plan    *plan.Plan
	session engine.Session
	receipt receipt.Receipt
	steps   []*stepRun
	logged  time.Time
	// changed is how many records were deleted or anonymized so far.
	changed int64
	// refused is why nothing more may be changed.
	refused error
	// mute says that a line of the account could not be written, so that none may follow.
	mute bool
}

// Run carries out a Plan and returns the exit code. What it did stands in the last Receipt.
func Run(ctx context.Context, c Config) receipt.ExitCode {
	r := &runner{Config: c}
	now := c.Clock().UTC()
	r.receipt = receipt.Receipt{Version: receipt.Version, PlanDigest: c.Digest, Phase: receipt.PhaseConnecting, StartTime: now, Time: now}
	code, err := r.run(ctx)
	if err != nil {
		r.fail(err)
	}
	_ = r.write()
	r.Log.Info("Ended", "phase", r.receipt.Phase, "reason", r.receipt.Reason, "exitCode", int(code))
	if r.session != nil {
		r.session.Close()
	}
	return code
}

// run is the list of phases. The exit code is final; err, if any, is why.
func (r *runner) run(ctx context.Context) (receipt.ExitCode, error) {
	if err := r.readPlan(); err != nil {
		return receipt.ExitPlanRefused, err
	}
	_ = r.write()
	if r.plan.Kind == plan.Intake {
		return r.intake(ctx)
	}
	if err := r.connect(ctx); err != nil {
		return exitCode(err), err
	}
	switch r.plan.Kind {
	case plan.Probe:
		return r.probe(ctx)
	case plan.CountHeld:
		return r.countHeld(ctx)
	case plan.ErasureKind:
		return r.erase(ctx)
	}
	return r.purgeDue(ctx)
}

// purgeDue is the list of phases of a plan.Retention.
func (r *runner) purgeDue(ctx context.Context) (receipt.ExitCode, error) {
	if err := r.session.Lock(ctx); err != nil {
		return exitCode(err), err
	}
	r.phase(receipt.PhaseCounting)
	if _, err := r.hold(ctx); err != nil {
		return exitCode(err), err
	}
	if err := r.count(ctx); err != nil {
		return exitCode(err), err
	}
	if r.plan.Mode == plan.Simulate {
		if err := r.foresee(ctx); err != nil {
			return exitCode(err), err
		}
		return r.conclude()
	}
	if err := r.guard(); err != nil {
		return receipt.ExitGuardrail, err
	}
	for pass := 1; ; pass++ {
		r.phase(receipt.PhasePurging)
		if err := r.purge(ctx); err != nil {
			return exitCode(err), err
		}
		r.phase(receipt.PhaseVerifying)
		next, err := r.verify(ctx)
		if err != nil {
			return exitCode(err), err
		}
		if !next.freed && (!next.again || pass >= maxPasses) {
			return r.conclude()
		}
	}
}

// maxPasses is how often a step is carried out: records that move while we pass over them are found by the next pass. Steps
// whose records are freed by others may have more: each such pass deletes something.
const maxPasses = 3

// readPlan accepts the Plan that was approved, in a version that we know, and no other.
func (r *runner) readPlan() error {
	if plan.DigestOf(r.Plan) != r.Digest {
		return refuse("the plan is not the one whose digest was given")
	}
	p := &plan.Plan{}
	if err := json.Unmarshal(r.Plan, p); err != nil {
		return refuse("the plan cannot be read")
	}
	r.plan = p
	r.receipt.Run = p.Run
	return accept(p, r.Engines)
}

// connect opens a session with the server that the Plan was made for, and looks at its clock.
func (r *runner) connect(ctx context.Context) error {
	session, err := r.Engines[r.plan.Engine].Connect(ctx, engine.Input{
		ConnectionDir: r.ConnectionDir, KeysDir: r.KeysDir, Plan: r.plan, Clock: r.Clock,
	})
	if err != nil {
		return err
	}
	r.session = session
	server, err := session.Server(ctx)
	if err != nil {
		return err
	}
	r.receipt.ServerVersion, r.receipt.Identity, r.receipt.SkewMilliseconds = server.Version, server.Identity, server.Skew.Milliseconds()
	r.Log.Info("Connected", "serverVersion", server.Version, "skewMilliseconds", server.Skew.Milliseconds())
	if r.plan.Kind != plan.Probe && r.plan.Identity != "" && server.Identity != r.plan.Identity {
		return &failure{receipt.IdentityChanged, "The server is not the one that the plan was made for"}
	}
	if r.plan.Kind != plan.Retention && r.plan.Kind != plan.ErasureKind {
		return nil // a probe reports the skew; only a purge is refused for it
	}
	limit := time.Duration(r.plan.Limits.MaxClockSkewMilliseconds) * time.Millisecond
	if server.Skew.Abs() > limit {
		return &failure{receipt.ClockSkewed, fmt.Sprintf("The server's clock and this Pod's are %s apart, and at most %s is allowed",
			server.Skew.Abs().Round(time.Millisecond), limit)}
	}
	// The slot is in the past. If this Pod's clock says otherwise, one of the clocks that made the cutoffs is wrong.
	if r.plan.Slot.After(r.Clock().Add(limit)) {
		return &failure{receipt.ClockSkewed, "The plan's slot lies in the future by this Pod's clock"}
	}
	return nil
}

func (r *runner) probe(ctx context.Context) (receipt.ExitCode, error) {
	p, err := r.session.Probe(ctx)
	if err != nil {
		return exitCode(err), err
	}
	r.receipt.Probe = p
	r.receipt.Phase, r.receipt.Reason = receipt.PhaseFinished, receipt.Succeeded
	return receipt.ExitDone, nil
}

// guard holds the guardrails against what was counted.
func (r *runner) guard() error {
	var due int64
	worst := ""
	for _, s := range r.steps {
		due += s.out().Matched
		limit := int64(r.plan.Guardrails.MaxPercent)
		if out := s.out(); limit > 0 && out.Matched*100 > out.Records*limit {
			worst = fmt.Sprintf("%d of %d records of %s are due, more than %d%%", out.Matched, out.Records, s.step.Dataset, limit)
		}
	}
	if limit := r.plan.Guardrails.MaxRecords; limit > 0 && due > limit {
		worst = fmt.Sprintf("%d records are due, more than %d", due, limit)
	}
	if worst == "" || (r.ApprovedRecords >= 0 && due <= r.ApprovedRecords) {
		return nil
	}
	if r.ApprovedRecords >= 0 {
		worst = fmt.Sprintf("%d records are due, more than the %d that were approved", due, r.ApprovedRecords)
	}
	return &failure{receipt.GuardrailExceeded, worst}
}

// conclude says how it all ended. What a retry may cure has the exit code that asks for one.
func (r *runner) conclude() (receipt.ExitCode, error) {
	r.receipt.Phase, r.receipt.Reason = receipt.PhaseFinished, receipt.Succeeded
	code := receipt.ExitDone
	for _, s := range r.steps {
		if s.out().Reason != "" {
			r.receipt.Reason = receipt.Incomplete
		}
		if s.transient {
			code = receipt.ExitFailed
		}
	}
	return code, nil
}

// failure ends a process for a reason that a person should read.
type failure struct {
	reason  receipt.Reason
	message string
}

func (f *failure) Error() string { return f.message }

func refuse(why string) error { return &failure{receipt.PlanRefused, why} }

// fail puts the reason that ended the process into the Receipt.
func (r *runner) fail(err error) {
	var f *failure
	var e *engine.Error
	switch {
	case errors.As(err, &f):
		r.receipt.Reason, r.receipt.Message = f.reason, f.message
	case errors.Is(err, engine.ErrStopped):
		r.receipt.Reason = receipt.Interrupted
	case errors.As(err, &e):
		r.receipt.Reason, r.receipt.Message = e.Reason, messageFor(e)
	default:
		r.receipt.Reason = receipt.InternalError
	}
	r.Log.Warn("Failed", "reason", r.receipt.Reason, "message", r.receipt.Message)
}

// messageFor says in a sentence what a person should look at.
func messageFor(e *engine.Error) string {
	switch e.Reason {
	case receipt.SecretIncomplete:
		return fmt.Sprintf("The connection's Secret is missing, or its key %s is missing or cannot be used", e.Object)
	case receipt.AuthenticationFails:
		return "The server refuses the user or the password of the connection's Secret"
	case receipt.DatabaseNotFound:
		return "The server has no database of the name in the connection's Secret"
	case receipt.Unreachable:
		return "The server cannot be reached"
	case receipt.VersionNotSupported:
		return "The server is older than this operator can work with"
	case receipt.WriterActive:
		return "Another purge is at work on this datastore"
	case receipt.IdentityChanged:
		return "Another server has taken the place of the one that was there before"
	}
	return e.Error()
}

// exitCode is what the Job should make of a failure.
func exitCode(err error) receipt.ExitCode {
	var f *failure
	reason := engine.ReasonOf(err)
	if errors.As(err, &f) {
		reason = f.reason
	}
	switch {
	case errors.Is(err, engine.ErrStopped):
		return receipt.ExitInterrupted
	case errors.Is(err, errLogFull):
		return receipt.ExitFailed
	}
	switch reason {
	case receipt.PlanRefused, receipt.VersionNotSupported:
		return receipt.ExitPlanRefused
	case receipt.GuardrailExceeded:
		return receipt.ExitGuardrail
	case receipt.IdentityChanged, receipt.ClockSkewed, receipt.HoldUnreadable:
		return receipt.ExitMismatch
	case receipt.Unreachable, receipt.WriterActive, receipt.AuthenticationFails, receipt.DatabaseNotFound, receipt.SecretIncomplete:
		return receipt.ExitUnavailable
	case receipt.Interrupted:
		return receipt.ExitInterrupted
	}
	return receipt.ExitFailed
}

func (r *runner) phase(p receipt.Phase) {
	r.receipt.Phase = p
	r.Log.Info("Phase", "phase", p)
	_ = r.write()
}

// limit is how many records this process may change at most; negative is any number.
func (r *runner) limit() int64 {
	switch {
	case r.plan.Guardrails.MaxRecords <= 0 && (r.ApprovedRecords < 0 || r.plan.Guardrails.MaxPercent <= 0):
		return -1
	default:
		return max(r.ApprovedRecords, r.plan.Guardrails.MaxRecords)
	}
}

// write rewrites the Receipt. If that fails the one before stands and the log tells. Only a change must not go on then: see
// InFlight.
func (r *runner) write() error {
	r.receipt.Time = r.Clock().UTC()
	err := r.Receipts.Write(&r.receipt)
	if err != nil {
		r.Log.Error("The receipt was not written", "error", err.Error())
	}
	return err
}
