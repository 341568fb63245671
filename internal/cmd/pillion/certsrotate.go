package pillion

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/internal/cli"
)

// What `rotate --until` knows.
const (
	untilPromoted = "promoted"
	untilRetired  = "retired"
)

// How long to follow a rotation if nothing else is said.
const (
	timeoutPromoted = 5 * time.Minute
	timeoutRetired  = 75 * time.Minute // an hour of it is Retire's
)

type rotateOptions struct {
	certsOptions
	compromised bool
	noWait      bool
	until       string
	timeout     time.Duration
}

func newCertsRotate(streams genericiooptions.IOStreams) *cobra.Command {
	o := rotateOptions{certsOptions: newCertsOptions()}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the operator's own CA, and follow that",
		Long: `Replace the operator's own CA by a new one without failing a single admission, and say each phase of it:

  Introduce   the new CA is written into every webhook configuration               about 2s
  Propagate   API servers take it into use; a probe through each shows that        about 65s
  Promote     replicas change to certificates of the new CA                        30s to 60s
  Retire      the old CA is served by nobody, and trusted for a while yet          1h

It returns when every replica serves the new CA: --until promoted. With --compromised, when the old one is no longer
trusted: --until retired. The rotation is the operator's work and goes on when this command ends.

While one is under way no other begins, but for --compromised, which takes its place at once.

Only certificates with source SelfManaged can be rotated here; for others it says what to do instead.`,
		Example: `  pillion certs rotate

  # the CA's key is in wrong hands: no waiting, and the old CA is dropped as soon as nobody serves it
  pillion certs rotate --compromised

  # start one and leave; see it later
  pillion certs rotate --no-wait
  pillion certs

Exit code: 0 done, 1 failed or not possible, 75 timed out: nobody took it on within 30s, or it takes longer than
--timeout, 77 forbidden.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRotate(cmd.Context(), streams, o) },
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.compromised, "compromised", false, "hurry, and drop the old CA as soon as nobody serves it")
	cmd.Flags().BoolVar(&o.noWait, "no-wait", false, "ask for the rotation and return")
	cmd.Flags().StringVar(&o.until, "until", "", "promoted: every replica serves the new CA; retired: the old one is no longer trusted (default promoted, with --compromised retired)")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "how long to follow it (default 5m, with --until retired 75m)")
	return cmd
}

// complete fills in what depends on other flags.
func (o *rotateOptions) complete() error {
	if o.until == "" {
		o.until = untilPromoted
		if o.compromised {
			o.until = untilRetired
		}
	}
	if o.until != untilPromoted && o.until != untilRetired {
		return usageError("--until %q is unknown; want %s or %s", o.until, untilPromoted, untilRetired)
	}
	if o.timeout < 0 {
		return usageError("--timeout %s: want more than 0", o.timeout)
	}
	if o.timeout == 0 {
		o.timeout = timeoutPromoted
		if o.until == untilRetired {
			o.timeout = timeoutRetired
		}
	}
	return nil
}

func runRotate(ctx context.Context, streams genericiooptions.IOStreams, o rotateOptions) error {
	if err := o.complete(); err != nil {
		return err
	}
	c, err := newClient(o.kube)
	if err != nil {
		return err
	}
	rotate := cli.Rotate{Client: c, Identity: o.identity, Compromised: o.compromised, Wait: !o.noWait, ToTheEnd: o.until == untilRetired,
		Timeout: o.timeout, Progress: streams.ErrOut, Now: time.Now, Every: time.Second}
	switch err := rotate.Run(ctx); {
	case errors.Is(err, cli.ErrTimedOut):
		return &exitError{code: exitTimedOut, err: err}
	case apierrors.IsForbidden(err):
		return &exitError{code: exitForbidden, err: err}
	default:
		return err
	}
}
