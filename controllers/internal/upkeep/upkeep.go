// SPDX-License-Identifier: Apache-2.0

// Package upkeep is what all that the manager looks after by itself has in common: somebody looks every so often, and
// private keys are in Secrets that several managers may write at once.
package upkeep

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Every does something at once, and then every so often until ctx ends. An error is logged, and does not end it; what says
// what was being done.
func Every(ctx context.Context, c clock.WithTicker, interval time.Duration, what string, do func(context.Context) error) error {
	ticker := c.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, what)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}
