package pillion

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/internal/version"
)

// newVersion prints which build this is.
func newVersion(streams genericiooptions.IOStreams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print which build this is",
		Example: "  pillion version -o json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			result := struct {
				APIVersion    string       `json:"apiVersion"`
				Kind          string       `json:"kind"`
				ClientVersion version.Info `json:"clientVersion"`
			}{"cli.pillion.dev/v1", "Version", version.Get()}
			if err := checkOutput(output, "text", "json", "yaml"); err != nil {
				return err
			}
			if output == "text" {
				fmt.Fprintf(streams.Out, "client version: %s\n", result.ClientVersion)
				return nil
			}
			return writeResult(streams.Out, result, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return cmd
}
