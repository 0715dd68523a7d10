Paas.component 'mysql_node' do
  def start
    return if running_already?

    render 'mysql_node.yml.erb'
    run "rm #{pid_file}"
    inside(target + 'mysql_service') do
      ENV['CLOUD_FOUNDRY_CONFIG_PATH'] = vcap_sys_config.to_s
      ruby "bin/mysql_node -c #{config_file} #{outputs} &"
    end
  end
end
