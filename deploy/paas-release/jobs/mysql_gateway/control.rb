Paas.component 'mysql_gateway' do
  def start
    return if running_already?

    # For as long as it takes.
    sleep 4 until run('curl http://localhost:8080/uaa') == 0

    render 'mysql_gateway.yml.erb'
    run "rm #{pid_file}"
    inside(target + 'mysql_service') do
      ENV['CLOUD_FOUNDRY_CONFIG_PATH'] = vcap_sys_config.to_s
      ruby "bin/mysql_gateway -c #{config_file} #{outputs} &"
    end
  end
end
