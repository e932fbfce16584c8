// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/internal/purgejob"
)

const (
	leaderElectionID = "retention-operator.dataretention.dev"
	// purgeImageVariable is the environment variable that --purge-image falls back to.
	purgeImageVariable = "RETENTION_PURGE_IMAGE"
	// namespaceFile is where a Pod finds the namespace of its service account.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// namespaceVariable is the environment variable that --namespace falls back to.
	namespaceVariable = "POD_NAMESPACE"
	// reconciliationTimeout bounds one pass, so that a request that hangs cannot keep an object from being looked at.
	reconciliationTimeout = 2 * time.Minute
	// concurrency is how many objects of one kind are worked on at once. One object never is twice.
	concurrency = 4
	// defaultKeyRotation is how old a sealing key gets, minKeyRotation the least that makes sense for any key.
	defaultKeyRotation = 90 * 24 * time.Hour
	minKeyRotation     = 24 * time.Hour
	// requestsPerSecond bounds what the manager asks of the API server.
	requestsPerSecond = 50
)

// managerFlags are the flags of the manager.
type managerFlags struct {
	leaderElect             bool
	leaderElectionNamespace string
	metricsAddress          string
	probeAddress            string
	purgeImage              string
	namespace               string
	keyRotation             time.Duration
	watchNamespace          string
	logLevel                slog.Level
	evidence                evidenceFlags
}

// ManagerCommand returns the command `manager` of an operator of that version. It runs until its context ends.
func ManagerCommand(version string) *cobra.Command {
	f := managerFlags{evidence: evidenceFlags{version: version}}
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the controllers",
		Long:  "Run the controllers. They watch RetentionPolicies and Datastores, start purge and probe Jobs, and write what came of it into the status.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.purgeImage == "" {
				return fmt.Errorf("--purge-image (or %s) is required: the image of purge Jobs, which is the operator's own", purgeImageVariable)
			}
			if f.namespace == "" {
				return fmt.Errorf("--namespace (or %s) is required outside a cluster: the namespace of the operator's keys", namespaceVariable)
			}
			if f.keyRotation != 0 && f.keyRotation < minKeyRotation {
				return fmt.Errorf("--sealing-key-rotation is %s: write at least %s, or 0 for keys that stay", f.keyRotation, minKeyRotation)
			}
			if err := f.evidence.check(); err != nil {
				return err
			}
			setLogger(f.logLevel)
			cfg, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("finding the Kubernetes API server: %w", err)
			}
			return run(cmd.Context(), cfg, f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.leaderElect, "leader-elect", false, "have one of several managers lead, by a Lease")
	flags.StringVar(&f.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the Lease (default: the manager's own)")
	flags.StringVar(&f.metricsAddress, "metrics-bind-address", ":8080", "address that serves /metrics; 0 serves none")
	flags.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "address that serves /healthz and /readyz; 0 serves none")
	flags.StringVar(&f.purgeImage, "purge-image", os.Getenv(purgeImageVariable), "image of probe and purge Jobs (default: $"+purgeImageVariable+")")
	flags.StringVar(&f.namespace, "namespace", ownNamespace(), "namespace of the operator and its keys (default: the Pod's)")
	flags.DurationVar(&f.keyRotation, "sealing-key-rotation", defaultKeyRotation, "how old the key gets that persons are sealed to; 0 is any age")
	flags.StringVar(&f.evidence.ledger, "ledger", "", "address of the evidence ledger, such as https://retention-ledger:8443")
	flags.StringVar(&f.evidence.ledgerDir, "ledger-dir", "", "for development: keep a ledger in this process and this folder")
	flags.StringVar(&f.evidence.retention, "evidence-retention", defaultRetention, "for how long statements are kept, at least "+leastRetention)
	flags.DurationVar(&f.evidence.keyRotation, "evidence-key-rotation", defaultStatementRotation, "how old the key gets that statements are signed with; 0 is any age")
	flags.StringVar(&f.watchNamespace, "watch-namespace", "", "the only namespace to look at (default: all)")
	flags.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return cmd
}

// ownNamespace is the namespace that this process runs in, empty outside a cluster.
func ownNamespace() string {
	if ns := os.Getenv(namespaceVariable); ns != "" {
		return ns
	}
	ns, err := os.ReadFile(namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(ns))
}

// setLogger has everything log one JSON object per line to the standard error.
func setLogger(level slog.Level) {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}

// run builds the manager and runs it until ctx ends.
func run(ctx context.Context, cfg *rest.Config, f managerFlags) error {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = requestsPerSecond, 2*requestsPerSecond
	opts, err := managerOptions(f)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(cfg, opts)
	if err != nil {
		return fmt.Errorf("building the manager: %w", err)
	}
	live, err := client.New(cfg, client.Options{Scheme: opts.Scheme})
	if err != nil {
		return fmt.Errorf("building the client of the keys: %w", err)
	}
	keys := &sealing.Keyring{
		Client:    client.WithFieldOwner(live, name),
		Events:    mgr.GetEventRecorder(name),
		Clock:     clock.RealClock{},
		Namespace: f.namespace,
		Rotation:  f.keyRotation,
	}
	if err := mgr.Add(keys); err != nil {
		return fmt.Errorf("adding the sealing keys: %w", err)
	}
	ledger, end, err := addEvidence(mgr, client.WithFieldOwner(live, name), f)
	if err != nil {
		return err
	}
	defer end()
	if err := Setup(mgr, Options{PurgeImage: f.purgeImage, Clock: clock.RealClock{}, Keys: keys, Evidence: ledger}); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return fmt.Errorf("adding health checks: %w", err)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the manager: %w", err)
	}
	return nil
}

// managerOptions turns the flags into options. Of Jobs, Pods and ConfigMaps only our own are watched and cached. There is
// no webhook server.
func managerOptions(f managerFlags) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), retentionv1.AddToScheme(scheme)); err != nil {
		return ctrl.Options{}, fmt.Errorf("building the scheme: %w", err)
	}
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{purgejob.LabelManagedBy: purgejob.ManagedBy})}
	opts := ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&batchv1.Job{}: own, &corev1.Pod{}: own, &corev1.ConfigMap{}: own,
			},
		},
		Client: client.Options{
			FieldOwner:      name,
			FieldValidation: metav1.FieldValidationStrict,
			// Fewer conflicts; nothing depends on it. It would not work with several namespaces, and there is one, or all.
			Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)},
		},
		Controller: config.Controller{
			MaxConcurrentReconciles: concurrency,
			ReconciliationTimeout:   reconciliationTimeout,
		},
		Metrics:                       metricsserver.Options{BindAddress: f.metricsAddress},
		HealthProbeBindAddress:        f.probeAddress,
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       f.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true, // the process ends with the manager
	}
	if f.watchNamespace != "" {
		opts.Cache.DefaultNamespaces = map[string]cache.Config{f.watchNamespace: {}}
	}
	return opts, nil
}
