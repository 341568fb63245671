package pillion

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

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
			switch output {
			case "text":
				fmt.Fprintf(streams.Out, "client version: %s\n", result.ClientVersion)
				return nil
			case "json":
				encoder := json.NewEncoder(streams.Out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(result)
			case "yaml":
				text, err := yaml.Marshal(result)
				if err == nil {
					_, err = streams.Out.Write(text)
				}
				return err
			}
			return usageError("-o %q is unknown; want text, json or yaml", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return cmd
}
