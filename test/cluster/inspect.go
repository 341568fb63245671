package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

func statusCommand(o *cluster.Options) *cobra.Command {
	var output string
	c := &cobra.Command{Use: "status", Short: "Show components, memory, last log lines, free disk", Args: usageArgs(cobra.NoArgs)}
	c.Flags().StringVarP(&output, "output", "o", "", "`json` for programs")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if output != "" && output != "json" {
			return usageError{fmt.Errorf("output %q: want json", output)}
		}
		status, err := cluster.Inspect(o.DefaultName())
		if err != nil {
			return err
		}
		if output == "json" {
			encoder := json.NewEncoder(os.Stdout)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(status)
		} else {
			err = printStatus(os.Stdout, status)
		}
		if err == nil && !status.Running {
			return fmt.Errorf("cluster %q: %w", status.Name, cluster.ErrNotRunning)
		}
		return err
	}
	return c
}

func printStatus(w io.Writer, s cluster.Status) error {
	_, _ = fmt.Fprintf(w, "cluster %s: running %t, %s\nstate folder %s, %d MB free there\n\n", s.Name, s.Running, s.Server, s.Folder, s.FreeMB)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "COMPONENT\tPID\tAGE\tMEMORY\tLAST LINE")
	for _, c := range s.Components {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%d MB\t%s\n", c.Name, c.PID, time.Duration(c.AgeSeconds)*time.Second, c.MemoryMB, shorten(c.LastLine))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "\nHarmless in the logs:")
	for _, line := range cluster.HarmlessLines() {
		_, _ = fmt.Fprintln(w, "  "+line)
	}
	return nil
}

func shorten(line string) string {
	if len(line) > 120 {
		return line[:120] + "…"
	}
	return line
}

func logsCommand(o *cluster.Options) *cobra.Command {
	var follow bool
	c := &cobra.Command{Use: "logs [COMPONENT]", Short: "Show a component's log, or name the components", Args: usageArgs(cobra.MaximumNArgs(1))}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	c.RunE = func(c *cobra.Command, args []string) error {
		dir, err := state.For(o.DefaultName())
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return listLogs(dir)
		}
		return showLog(c.Context(), os.Stdout, dir.Log(filepath.Base(args[0])), follow)
	}
	return c
}

func listLogs(dir state.Dir) error {
	entries, err := os.ReadDir(dir.Logs())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster %q: %w", dir.Name(), cluster.ErrNotRunning)
	}
	if err != nil {
		return fmt.Errorf("listing logs: %w", err)
	}
	for _, e := range entries {
		fmt.Println(strings.TrimSuffix(e.Name(), ".log"))
	}
	return nil
}

// showLog copies what's there, and with follow looks for more until ctx ends.
func showLog(ctx context.Context, w io.Writer, path string, follow bool) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("showing a log: %w; `logs` alone names them", err)
	}
	defer func() { _ = file.Close() }()
	for {
		if _, err := io.Copy(w, file); err != nil {
			return fmt.Errorf("showing a log: %w", err)
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
