Paas.component 'directory_server' do
  def start
    return if running_already?('directory_server')

    run "rm #{pid_file}"
    # With the configuration that the last start of dea_ng has rendered.
    run "#{target}/dea_ng/go/bin/runner -conf #{vcap_sys_config}/dea_ng.yml #{outputs} &"
    # Every process that is called so, one a line.
    system "ps -ef | grep runner | grep -v grep | awk '{print $2}' > #{pid_file}"
  end
end
