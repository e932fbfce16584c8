// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"dataretention.dev/retention-operator/controllers/datastore"
	"dataretention.dev/retention-operator/controllers/erasurerequest"
	"dataretention.dev/retention-operator/controllers/erasurerun"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/controllers/legalhold"
	"dataretention.dev/retention-operator/controllers/retentionpolicy"
)

// name is what the manager calls itself in events and as the owner of fields.
const name = "retention-operator"

// Options are what the controllers need to know that no object tells them.
type Options struct {
	// PurgeImage is the image of probe and purge Jobs: the operator's own.
	PurgeImage string
	// Clock tells the time.
	Clock clock.PassiveClock
	// Keys seals persons to the operator, and opens what was sealed to it.
	Keys sealing.Keys
	// Evidence takes what is stated.
	Evidence attest.Ledger
}

// Setup adds every controller to the manager. This is the list of them all.
func Setup(mgr ctrl.Manager, opts Options) error {
	logs, err := podLogs(mgr.GetConfig())
	if err != nil {
		return err
	}
	return errors.Join(
		(&datastore.Reconciler{
			Client: mgr.GetClient(),
			Live:   mgr.GetAPIReader(),
			Events: mgr.GetEventRecorder(name),
			Clock:  opts.Clock,
			Image:  opts.PurgeImage,
		}).SetupWithManager(mgr),
		(&erasurerequest.Reconciler{
			Client:   mgr.GetClient(),
			Live:     mgr.GetAPIReader(),
			Events:   mgr.GetEventRecorder(name),
			Clock:    opts.Clock,
			Image:    opts.PurgeImage,
			Keys:     opts.Keys,
			Logs:     logs,
			Evidence: opts.Evidence,
		}).SetupWithManager(mgr),
		(&erasurerun.Reconciler{
			Client:   mgr.GetClient(),
			Live:     mgr.GetAPIReader(),
			Events:   mgr.GetEventRecorder(name),
			Clock:    opts.Clock,
			Image:    opts.PurgeImage,
			Keys:     opts.Keys,
			Logs:     logs,
			Evidence: opts.Evidence,
		}).SetupWithManager(mgr),
		(&legalhold.Reconciler{
			Client:   mgr.GetClient(),
			Live:     mgr.GetAPIReader(),
			Events:   mgr.GetEventRecorder(name),
			Clock:    opts.Clock,
			Image:    opts.PurgeImage,
			Keys:     opts.Keys,
			Evidence: opts.Evidence,
		}).SetupWithManager(mgr),
		(&retentionpolicy.Reconciler{
			Client:   mgr.GetClient(),
			Live:     mgr.GetAPIReader(),
			Events:   mgr.GetEventRecorder(name),
			Clock:    opts.Clock,
			Image:    opts.PurgeImage,
			Keys:     opts.Keys,
			Evidence: opts.Evidence,
		}).SetupWithManager(mgr),
	)
}
