package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/images"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// root is the command line. Every command takes --name and --api-only, which together say which cluster is meant.
func root() *cobra.Command {
	var o cluster.Options
	r := &cobra.Command{
		Use: "cluster", Short: "A real Kubernetes on this machine for tests and the demo",
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			_ = c.Usage()
			return usageError{errors.New("want a command")}
		},
	}
	r.Args = usageArgs(cobra.NoArgs)
	r.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	r.PersistentFlags().StringVar(&o.Name, "name", "", "the cluster's `name` (default \"node\", with --api-only \"api\")")
	r.PersistentFlags().BoolVar(&o.APIOnly, "api-only", false, "etcd and API server only: no root, no pods run")
	r.PersistentPreRun = func(*cobra.Command, []string) {
		if o.Name == "" { // whatever else it runs: the other commands don't know
			o.Name = cluster.Options{APIOnly: o.APIOnly}.DefaultName()
		}
	}
	r.AddCommand(upCommand(&o), downCommand(&o), cleanCommand(), kubeconfigCommand(&o), statusCommand(&o), loadCommand(&o),
		execCommand(&o), logsCommand(&o), imageCommand())
	r.CompletionOptions.DisableDefaultCmd = true
	return r
}

// usageArgs makes wrong arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func upCommand(o *cluster.Options) *cobra.Command {
	c := &cobra.Command{Use: "up", Short: "Start the cluster and print its kubeconfig's path", Args: usageArgs(cobra.NoArgs)}
	c.Flags().BoolVar(&o.ControllerManager, "controller-manager", false, "with --api-only: run the controller manager too")
	with := c.Flags().StringSlice("with", nil, "what else to run: `cert-manager` (with --api-only, the controller manager too)")
	c.Flags().BoolVar(&o.DualStack, "dual-stack", false, "IPv4 and IPv6 for pods and services")
	c.Flags().StringVar(&o.FeatureGates, "feature-gates", "", "`Name=true,…` for every component")
	c.RunE = func(c *cobra.Command, _ []string) error {
		for _, addition := range *with {
			if addition != "cert-manager" {
				return usageError{fmt.Errorf("--with %s: want cert-manager", addition)}
			}
			o.CertManager = true
		}
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		o.Program = program
		if running, err := cluster.Open(c.Context(), o.DefaultName()); err == nil {
			fmt.Fprintf(os.Stderr, "cluster %q is up already, since %s\n", o.DefaultName(), running.Record.Started.Format("15:04:05"))
		}
		up, err := cluster.Up(c.Context(), *o, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(up.Kubeconfig())
		return nil
	}
	return c
}

func downCommand(o *cluster.Options) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop the cluster and remove everything of it", Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return cluster.Down(c.Context(), o.DefaultName(), progress.New(os.Stderr))
		},
	}
}

func cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clean", Short: "Do that for every cluster of this machine, also after crashes", Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return cluster.Clean(c.Context(), progress.New(os.Stderr)) },
	}
}

func kubeconfigCommand(o *cluster.Options) *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the administrator's kubeconfig", Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return with(c.Context(), o, func(up *cluster.Cluster) error {
				fmt.Println(up.Kubeconfig())
				return nil
			})
		},
	}
}

func loadCommand(o *cluster.Options) *cobra.Command {
	return &cobra.Command{
		Use: "load-image [FILE…]", Short: "Import docker or OCI archives into the node; without FILE, this checkout's images",
		RunE: func(c *cobra.Command, files []string) error {
			return with(c.Context(), o, func(up *cluster.Cluster) error {
				if len(files) == 0 {
					return loadProject(c.Context(), up)
				}
				for _, file := range files {
					if err := up.LoadArchive(c.Context(), file); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func loadProject(ctx context.Context, up *cluster.Cluster) error {
	return progress.New(os.Stderr).Step("build and load images", func(note func(string)) error {
		note("go build")
		all, err := images.All(ctx)
		if err != nil {
			return err
		}
		return up.LoadImages(ctx, all...)
	})
}

func execCommand(o *cluster.Options) *cobra.Command {
	return &cobra.Command{
		Use: "exec -- CMD…", Short: "Run a command inside the node (kubectl, nft, ctr, …)", Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return with(c.Context(), o, func(up *cluster.Cluster) error {
				command := up.Command(c.Context(), args[0], args[1:]...)
				command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
				return command.Run()
			})
		},
	}
}

func with(ctx context.Context, o *cluster.Options, do func(*cluster.Cluster) error) error {
	up, err := cluster.Open(ctx, o.DefaultName())
	if err != nil {
		return err
	}
	return do(up)
}
